"""Uploads: what is found in a file, what is refused, and that bytes are kept once and never lost."""

import datetime
import decimal
import io
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from automl_site.errors import DatasetError, InvalidSpec, TooLarge
from datasets_app import selectors, services, tables
from datasets_app.models import Blob, Dataset
from datasets_app.services import clean_filename
from datasets_app.storage import get_storage

CSV = b"text,label\nSample text 1,positive\nSample text 2,negative\n"


@pytest.fixture(autouse=True)
def data_root(settings: object, tmp_path: Path) -> Path:
    settings.DATA_DIR, settings.FILES_ROOT = tmp_path, tmp_path / "files"
    return tmp_path


def upload(user: object, content: bytes, name: str = "x.csv", format: str | None = None) -> Dataset:
    return services.dataset_upload(owner=user, file=io.BytesIO(content), filename=name, format=format)


def parquet(**columns: object) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_parquet(buffer)
    return buffer.getvalue()


def kinds(dataset: Dataset) -> dict[str, str]:
    return {name: dataset.schema[name]["kind"] for name in dataset.columns}


def files_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_an_upload_says_what_is_in_the_file(user: object) -> None:
    dataset = upload(user, CSV, "training_data.csv")
    assert dataset.public_id.startswith("ds_")
    assert dataset.s3_path == f"s3://datasets/{dataset.public_id}/training_data.csv"
    assert (dataset.format, dataset.rows, dataset.columns) == ("csv", 2, ["text", "label"])
    assert dataset.size_bytes == len(CSV)
    assert dataset.analysis["text_column"] == "text"
    assert dataset.analysis["stats"] == {"avg_length": 13.0, "min_length": 13, "max_length": 13}
    assert get_storage().local_path(dataset.blob.key).read_bytes() == CSV


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2", " 3 ", "-4"], "integer"),
        (["1", "2.5", "", "1e-3"], "number"),
        (["1,234", "5,678", "9,012"], "number"),
        (["$12.50", "$3", "$1,200.00"], "number"),
        (["12 %", "5%", "7.5%"], "number"),
        (["1.5", "NaN", "n/a", "inf"], "number"),
        (["1"] * 19 + ["junk"], "number"),
        (["1", "2", "junk", "junk"], "category"),
        (["yes", "no", "Yes"], "boolean"),
        (["true", "FALSE", "NA"], "boolean"),
        (["2024-01-31", "2024-02-01", ""], "date"),
        (["2024-01-31 10:00:00", "2024-02-01T11:30:00Z"], "date"),
        (["31.01.2024", "01.02.2024"], "date"),
        (["red", "green", "red"], "category"),
        (["01067", "80331", "01067"], "category"),
        (["", "NA", "null"], "empty"),
        (["99999999999999999999999", "1"], "number"),
        ([f"this is sentence number {i}" for i in range(30)], "text"),
        (["this is the same sentence"] * 30, "category"),
    ],
)
def test_a_columns_kind_is_read_from_its_values(user: object, cells: list[str], kind: str) -> None:
    lines = "\n".join(f'"{cell}",1' for cell in cells)
    assert kinds(upload(user, f"value,other\n{lines}\n".encode()))["value"] == kind


@pytest.mark.parametrize(
    ("name", "cells", "kind"),
    [
        ("customer_id", [str(i) for i in range(100)], "id"),
        ("userId", [str(i) for i in range(100)], "id"),
        ("key", [f"{i:032x}" for i in range(100)], "id"),
        ("hash", [f"{i * 7919:08x}x" for i in range(100)], "id"),
        ("price", [str(i) for i in range(100)], "integer"),
        ("paid", [str(i) for i in range(100)], "integer"),
        ("customer_id", [str(i % 10) for i in range(100)], "integer"),
        ("id", ["1", "2", "3"], "integer"),
    ],
)
def test_an_identifier_is_told_from_a_number(user: object, name: str, cells: list[str], kind: str) -> None:
    lines = "\n".join(f"{cell},1" for cell in cells)
    assert kinds(upload(user, f"{name},other\n{lines}\n".encode()))[name] == kind


def test_missing_values_distinct_values_and_examples_are_counted(user: object) -> None:
    dataset = upload(user, b"a,b\n1,x\n,y\nNA,x\n2,?\n2,x\n")
    assert dataset.schema["a"] == {
        "kind": "integer", "dtype": "integer", "missing": 2, "distinct": 2, "examples": ["1", "2"],
    }  # fmt: skip
    assert dataset.schema["b"]["missing"] == 1
    assert dataset.schema["b"]["examples"] == ["x", "y"]


def test_distinct_values_are_estimated_over_many_batches(user: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BLOCK_BYTES", 64 * 1024)
    numbers = np.random.default_rng(0).integers(0, 20_000, size=100_000)
    dataset = upload(user, b"n,c\n" + b"".join(b"%d,%d\n" % (n, n % 7) for n in numbers))
    assert dataset.rows == 100_000
    true = len(np.unique(numbers))
    assert abs(dataset.schema["n"]["distinct"] - true) < 0.08 * true
    assert dataset.schema["c"]["distinct"] == 7


@pytest.mark.parametrize(
    ("content", "columns", "rows"),
    [
        (b"\xef\xbb\xbfa,b\n1,2", ["a", "b"], 1),
        ("name;größe\nJürgen;1\n".encode("latin-1"), ["name", "größe"], 1),
        ("a,b\nü,1\n".encode("utf-16"), ["a", "b"], 1),
        (b"a\tb\n1\t2\n", ["a", "b"], 1),
        (b"a|b\r\n1|2\r\n", ["a", "b"], 1),
        (b"a,b\r1,2\r3,4\r", ["a", "b"], 2),
        (b'a,b\n"x\ny","1,5"\n', ["a", "b"], 1),
        (b'"a ""q""",b\n1,2\n', ['a "q"', "b"], 1),
        (b"a,b\n1,2\n\n   \n3,4\n\n", ["a", "b"], 2),
        (b"\n\na,b\n1,2\n", ["a", "b"], 1),
        (b"only\n1\n\n2\n", ["only"], 2),
        (b"a,a,\n1,2,3\n", ["a", "a_2", "column_3"], 1),
        ("😀,b\n🎉,1\n".encode(), ["😀", "b"], 1),
        (b"a,b\n1,2", ["a", "b"], 1),
    ],
)
def test_csv_is_read_as_people_write_it(user: object, content: bytes, columns: list[str], rows: int) -> None:
    dataset = upload(user, content)
    assert (dataset.columns, dataset.rows) == (columns, rows)
    assert len(selectors.preview(dataset=dataset, limit=100)) == rows


def test_latin_1_text_is_shown_right_and_said_so(user: object) -> None:
    dataset = upload(user, "name;n\nJürgen;1\n".encode("latin-1"))
    assert selectors.preview(dataset=dataset, limit=1) == [{"name": "Jürgen", "n": 1}]
    assert "not UTF-8 (row 2)" in dataset.analysis["warnings"][0]


def test_a_few_ragged_rows_are_left_out_and_named(user: object) -> None:
    rows = [b"%d,2" % i for i in range(40)]
    rows[10] = b"1,2,3"
    rows[20] = b"1"
    dataset = upload(user, b"a,b\n" + b"\n".join(rows))
    assert dataset.rows == 38
    assert dataset.analysis["warnings"] == ["row 12: 3 values where the header has 2. Left out: rows 12, 22"]


def test_rows_are_counted_as_an_editor_shows_records(user: object) -> None:
    with pytest.raises(DatasetError) as raised:
        upload(user, b'a,b\n1,2\n\n"x\ny",3\n4\n5\n', "bad.csv")
    assert raised.value.message == "bad.csv, row 5: 1 values where the header has 2; 2 of 4 rows are like that."
    assert raised.value.details == {"file": "bad.csv", "row": 5, "rows": [5, 6]}


def test_parquet_columns_keep_their_types(user: object) -> None:
    dataset = upload(
        user,
        parquet(
            i=[1, 2, None],
            f=[1.5, float("nan"), None],
            s=["a b c", None, "é"],
            d=[datetime.date(2020, 1, 1)] * 3,
            t=[datetime.datetime(2020, 1, 1, 3, 4, 5)] * 3,
            m=[decimal.Decimal("1.20")] * 3,
            y=[b"ab", None, b"\0"],
            o=[True, False, None],
            l=[[1], [2], None],
            e=[None, None, None],
        ),
        "x.parquet",
    )
    assert kinds(dataset) == {
        "i": "integer", "f": "number", "s": "category", "d": "date", "t": "date", "m": "number", "y": "nested",
        "o": "boolean", "l": "nested", "e": "empty",
    }  # fmt: skip
    assert dataset.schema["f"]["missing"] == 2
    assert dataset.schema["s"]["dtype"] == "string"
    assert selectors.preview(dataset=dataset, limit=2) == [
        {
            "i": 1, "f": 1.5, "s": "a b c", "d": "2020-01-01", "t": "2020-01-01T03:04:05", "m": 1.2, "y": "6162",
            "o": True, "l": "(nested)", "e": None,
        },
        {
            "i": 2, "f": None, "s": None, "d": "2020-01-01", "t": "2020-01-01T03:04:05", "m": 1.2, "y": None,
            "o": False, "l": "(nested)", "e": None,
        },
    ]  # fmt: skip


def test_parquet_of_many_row_groups_is_read_whole(user: object) -> None:
    buffer = io.BytesIO()
    table = pa.table({"text": [f"review {i} of the film" for i in range(5000)], "n": list(range(5000))})
    pq.write_table(table, buffer, row_group_size=100)
    dataset = upload(user, buffer.getvalue(), "x.pq")
    assert dataset.rows == 5000
    assert dataset.analysis["text_column"] == "text"
    assert dataset.analysis["stats"]["max_length"] == len("review 4999 of the film")
    rows = selectors.preview(dataset=dataset, limit=100)
    assert [row["n"] for row in rows] == list(range(100))


def test_a_long_text_that_repeats_is_never_spelled_out(user: object) -> None:
    """200 GB if it were: a dictionary of one text of 1 MB, used 200,000 times."""
    buffer = io.BytesIO()
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(200_000, np.int32)), pa.array(["x" * 1_000_000]))
    pq.write_table(pa.table({"t": text}), buffer)
    dataset = upload(user, buffer.getvalue(), "bomb.parquet")
    assert dataset.rows == 200_000
    assert dataset.schema["t"]["examples"] == ["x" * 80 + "…"]
    assert dataset.analysis["rows"] == 200_000


ENCRYPTED = b"PARE" + b"\0" * 64 + b"PARE"


@pytest.mark.parametrize(
    ("content", "name", "format", "sentence"),
    [
        (b"", "x.csv", None, "x.csv is empty"),
        (b"", "x.parquet", None, "x.parquet is empty"),
        (b"\n \n", "x.csv", None, "x.csv is empty"),
        (b"a,b\n", "x.csv", None, "has a header and no rows"),
        (b"a,b", "x.csv", None, "has a header and no rows"),
        (b"a,b\n1,\x002\n", "x.csv", None, "NUL byte in row 2"),
        (bytes(range(1, 256)) * 20, "x.csv", None, "control characters"),
        (b"\xff\xfe\x00\xd8\x00", "x.csv", None, "UTF-16"),
        (b'a,b\n1,"never closed\n2,3\n', "x.csv", None, "near line 2: a quote"),
        (b"PK\x03\x04" + b"x" * 99, "x.csv", None, "zip archive or an Excel workbook"),
        (b"\x1f\x8b" + b"x" * 99, "x.csv.gz", None, "gzip"),
        (b"\x89PNG\r\n", "x.png", None, "an image"),
        (b"PAR1" + b"junk" * 50 + b"PAR1", "x.parquet", None, "damaged Parquet"),
        (parquet(a=[1, 2])[:-9], "x.parquet", None, "damaged Parquet"),
        (ENCRYPTED, "x.parquet", None, "encrypted Parquet"),
        (parquet(a=[]), "x.parquet", None, "holds no rows"),
        (CSV, "x.parquet", None, "not a Parquet file"),
        (CSV, "x.csv", "parquet", "not a Parquet file"),
        (parquet(a=[1]), "x.csv", None, "holds Parquet, its name says .csv"),
        (parquet(a=[1]), "x.parquet", "csv", "holds Parquet, not csv"),
        (b" \n\n", "x.txt", None, "x.txt is empty"),
        (b"hello\n\0", "x.txt", None, "NUL byte near line 1"),
        (b"\xff\xfe\x00\xd8\x00", "x.txt", None, "UTF-16"),
        (parquet(a=[1]), "x.txt", None, "holds Parquet, its name says .txt"),
        (b"a,b\n1\n2\n", "x.csv", None, "row 2: 1 values where the header has 2"),
    ],
)
def test_what_is_no_table_is_refused_by_name_and_leaves_nothing(
    user: object, data_root: Path, content: bytes, name: str, format: str | None, sentence: str
) -> None:
    with pytest.raises(DatasetError) as raised:
        upload(user, content, name, format)
    assert raised.value.message.startswith(name)
    assert sentence in raised.value.message
    assert raised.value.details["file"] == name
    assert files_under(data_root) == []
    assert not Dataset.objects.exists()
    assert not Blob.objects.exists()


def test_a_text_file_has_one_column_and_a_row_a_line(user: object) -> None:
    content = 'The first line.\r\n\r\n  \nÄ second, with "an odd quote\nthird'.encode()
    dataset = upload(user, content, "novel.txt")
    assert (dataset.format, dataset.columns, dataset.rows) == ("txt", ["text"], 3)
    assert dataset.schema["text"]["kind"] == "text"
    assert dataset.analysis["text_column"] == "text"
    assert dataset.analysis["stats"] == {"avg_length": 16.0, "min_length": 5, "max_length": 28}
    lines = ["The first line.", 'Ä second, with "an odd quote', "third"]
    assert selectors.preview(dataset=dataset, limit=10) == [{"text": line} for line in lines]
    assert selectors.preview(dataset=dataset, limit=2) == [{"text": line} for line in lines[:2]]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_a_text_file_may_be_in_an_older_encoding(user: object, encoding: str) -> None:
    dataset = upload(user, "Grüße\nund mehr\n".encode(encoding), "x.txt")
    assert selectors.preview(dataset=dataset, limit=9) == [{"text": "Grüße"}, {"text": "und mehr"}]
    assert bool(dataset.analysis["warnings"]) == (encoding == "cp1252")


def test_a_text_file_longer_than_memory_is_read_in_parts(user: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BLOCK_BYTES", 7)
    dataset = upload(user, b"".join(b"line %d\n" % number for number in range(50)), "x.txt")
    assert (dataset.rows, dataset.schema["text"]["distinct"]) == (50, 50)
    monkeypatch.setattr(tables, "MAX_LINE_CHARACTERS", 20)
    with pytest.raises(DatasetError, match="a line of more than 20 characters"):
        upload(user, b"x" * 100, "y.txt")


def test_any_damage_to_a_parquet_file_is_a_dataset_error_or_no_error(user: object) -> None:
    whole = parquet(a=list(range(200)), s=[f"text {i}" for i in range(200)])
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        for position in random.integers(4, len(whole), size=3):
            damaged[position] = random.integers(0, 256)
        try:
            upload(user, bytes(damaged), "x.parquet")
        except DatasetError:
            refused += 1
    assert refused > 20


def test_a_row_group_that_claims_too_much_is_refused(user: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ROW_GROUP_BYTES", 100)
    with pytest.raises(DatasetError, match="row group of .* bytes uncompressed; 100 are allowed"):
        upload(user, parquet(a=list(range(1000))), "x.parquet")


def test_a_file_over_the_limit_names_both_numbers(user: object, settings: object, data_root: Path) -> None:
    settings.MAX_UPLOAD_BYTES = 10
    with pytest.raises(TooLarge, match="10 bytes allowed"):
        upload(user, CSV)
    assert files_under(data_root) == []


def test_an_unknown_format_names_those_that_there_are(user: object) -> None:
    with pytest.raises(InvalidSpec) as raised:
        upload(user, CSV, format="xlsx")
    assert raised.value.errors == {"format": ["format must be one of csv, parquet, json, jsonl, txt, zip, image"]}


def test_the_format_may_be_said_where_the_name_does_not_tell(user: object) -> None:
    assert upload(user, CSV, "notes.txt", "csv").format == "csv"
    assert upload(user, parquet(a=[1]), "x.csv", " Parquet ").format == "parquet"
    assert upload(user, CSV, "noextension").format == "csv"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\wine.csv", "wine.csv"),
        ("a\0b\r\nc.csv", "abc.csv"),
        ("😀 data.csv", "😀 data.csv"),
        ("", "data"),
        ("..", "data"),
        ("/", "data"),
        (".hidden.csv", "hidden.csv"),
        ("\ud800x.csv", "x.csv"),
        ("x" * 300 + ".csv", "x" * 196 + ".csv"),
        ("ü" * 300 + ".csv", "ü" * 98 + ".csv"),
        ("x." + "y" * 300, "x." + "y" * 19),
    ],
)
def test_a_file_name_is_made_fit_for_disk_url_and_message(user: object, given: str, kept: str) -> None:
    assert clean_filename(given) == kept
    dataset = upload(user, CSV, given, "csv")
    assert dataset.filename == kept
    assert len(selectors.preview(dataset=dataset, limit=1)) == 1
