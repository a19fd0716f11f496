"""Uploads of images: a zip says what its folders are called, and no office document is taken for one."""

import io
import struct
import zipfile

import pytest

from automl_site.errors import DatasetError
from datasets_app import services
from datasets_app.models import Dataset
from datasets_app.selectors import preview
from datasets_app.storage import get_storage

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_root")]

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40  # its header is all that an upload looks at


def zipped(**files: bytes) -> bytes:
    """zipped(cats__1_png=…) holds cats/1.png."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return buffer.getvalue()


def upload(user: object, content: bytes, name: str = "animals.zip", format: str | None = None) -> Dataset:
    return services.dataset_upload(owner=user, file=io.BytesIO(content), filename=name, format=format)


def test_a_zip_of_class_folders_says_its_classes(user: object) -> None:
    content = zipped(cats__1_png=PNG, cats__2_png=PNG, dogs__1_jpg=PNG, readme_txt=b"hello")
    dataset = upload(user, content)
    assert (dataset.format, dataset.rows, dataset.columns) == ("zip", 3, ["image", "label"])
    assert dataset.schema["label"] == {
        "kind": "category", "dtype": "string", "missing": 0, "distinct": 2, "examples": ["cats", "dogs"],
    }  # fmt: skip
    assert dataset.analysis["warnings"] == ["Classes with one image only: dogs"]
    assert get_storage().local_path(dataset.blob.key).read_bytes() == content
    assert preview(dataset=dataset, limit=2) == [
        {"image": "cats/1.png", "label": "cats"},
        {"image": "cats/2.png", "label": "cats"},
    ]


def test_a_zip_of_loose_images_is_one_to_predict_on(user: object) -> None:
    dataset = upload(user, zipped(a_png=PNG, b_png=PNG))
    assert (dataset.rows, dataset.columns) == (2, ["image"])
    assert "good to predict on, not to learn from" in dataset.analysis["warnings"][0]


def test_a_zip_with_a_table_names_it(user: object) -> None:
    dataset = upload(user, zipped(a_png=PNG, list_csv=b"path,label\na.png,x\n"))
    assert dataset.analysis["warnings"] == ["The classes are looked for in list.csv."]


def test_the_images_of_an_idx_file_are_counted_by_its_header(user: object) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("train-images-idx3-ubyte", struct.pack(">4I", 0x803, 7, 2, 2) + b"\0" * 28)
        archive.writestr("train-labels-idx1-ubyte", struct.pack(">2I", 0x801, 7) + b"\0" * 7)
    assert upload(user, buffer.getvalue()).rows == 7


def test_a_zip_of_class_folders_of_texts_says_its_classes(user: object) -> None:
    dataset = upload(user, zipped(ham__1_txt=b"hello", spam__2_txt=b"buy"), "mails.zip")
    assert (dataset.format, dataset.rows, dataset.columns) == ("zip", 2, ["file", "label"])
    assert preview(dataset=dataset, limit=1) == [{"file": "ham/1.txt", "label": "ham"}]


def test_a_zip_of_texts_or_tables_lists_its_files(user: object) -> None:
    books = upload(user, zipped(books__1_txt=b"hello", books__2_md=b"buy", books__info_json=b"{}"), "books.zip")
    assert preview(dataset=books, limit=9) == [{"file": "books/1.txt"}, {"file": "books/2.md"}]
    tables = upload(user, zipped(train_jsonl=b"{}", test_csv=b"a"), "tables.zip")
    assert (tables.rows, tables.analysis["warnings"]) == (2, ["Rows are read from test.csv, train.jsonl."])


@pytest.mark.parametrize(("name", "content", "kind"), [("a.png", PNG, "PNG"), ("b.bmp", b"BM" + b"\0" * 60, "BMP")])
def test_an_image_is_a_data_set_of_one(user: object, name: str, content: bytes, kind: str) -> None:
    dataset = upload(user, content, name)
    assert (dataset.format, dataset.rows, dataset.schema["image"]["dtype"]) == ("image", 1, kind)
    assert preview(dataset=dataset, limit=5) == [{"image": name}]


def test_a_table_that_begins_like_an_image_is_a_table(user: object) -> None:
    assert upload(user, b"BMI,P5\n20,1\n", "people.csv").format == "csv"


@pytest.mark.parametrize(
    ("content", "name", "format", "sentence"),
    [
        (zipped(a_bin=b"hello"), "x.zip", None, "a zip archive or an Excel workbook"),
        (zipped(a_bin=b"hello"), "x.zip", "zip", "no zip archive with images, texts or tables"),
        (zipped(a_txt=b"hello"), "x.whl", None, "a zip archive or an Excel workbook"),
        (zipped(xl__media__1_png=PNG), "x.zip", "image", "no image of a kind that is read"),
        (b"a,b\n1,2\n", "x.csv", "zip", "no zip archive with images"),
        (b"a,b\n1,2\n", "x.csv", "image", "no image of a kind that is read"),
    ],
)
def test_what_holds_no_images_is_refused_by_name(
    user: object, content: bytes, name: str, format: str | None, sentence: str
) -> None:
    with pytest.raises(DatasetError, match=sentence) as refused:
        upload(user, content, name, format)
    assert refused.value.message.startswith(name)
    assert not Dataset.objects.exists()


def test_a_workbook_with_pictures_is_no_zip_of_images(user: object) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("[Content_Types].xml", b"<Types/>")
        archive.writestr("xl/media/image1.png", PNG)
    with pytest.raises(DatasetError, match="Excel workbook"):
        upload(user, buffer.getvalue(), "sales.xlsx")


def test_a_zip_that_lists_too_many_files_is_not_opened(user: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets_app.images.MAX_DIRECTORY_BYTES", 100)
    with pytest.raises(DatasetError, match=r"too many files in \"many\.zip\""):
        upload(user, zipped(**{f"a__{number}_png": PNG for number in range(9)}), "many.zip")
