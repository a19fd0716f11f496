"""Images are found in every form that people have them in, and nothing outside of what was given is read."""

import gzip
import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from tests.trainers.vision.conftest import KINDS, picture, png
from trainers.protocol import DataProblem
from trainers.vision.sources import Examples, find, unlabelled
from trainers.vision.trees import Archive


def image(examples: Examples, place: int = 0) -> Image.Image:
    content = examples.read(place)
    assert isinstance(content, bytes)
    return Image.open(io.BytesIO(content))


def zipped(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return target


def test_a_folder_of_class_folders(class_folders: Callable[..., Path]) -> None:
    found = find(class_folders(3))
    assert list(found.labels) == ["cross"] * 3 + ["disc"] * 3
    assert set(found.parts) == {""}
    assert image(found, 4).size == (32, 32)


def test_names_that_are_no_utf_8_are_told_with_marks_in_their_places(class_folders: Callable[..., Path]) -> None:
    root = class_folders(2)
    root.joinpath("disc").rename(root / os.fsdecode(b"caf\xe9"))
    found = find(root)
    assert list(found.labels) == ["caf\ufffd", "caf\ufffd", "cross", "cross"]
    assert found.names[0].encode() and image(found).size == (32, 32)


def test_a_folder_that_is_split(class_folders: Callable[..., Path]) -> None:
    class_folders(3, below="train")
    found = find(class_folders(2, below="Validation"))
    assert sorted(zip(found.parts, found.labels, strict=True)) == [
        *[("train", "cross")] * 3,
        *[("train", "disc")] * 3,
        *[("val", "cross")] * 2,
        *[("val", "disc")] * 2,
    ]


def test_a_zip_of_either_with_the_folder_that_was_zipped(class_folders: Callable[..., Path], tmp_path: Path) -> None:
    inner = class_folders(2, below="pictures", root="outer")
    (inner / "__MACOSX").mkdir()
    (inner / "__MACOSX" / "x.png").write_bytes(b"")
    found = find(zipped(inner, tmp_path / "all.zip"))
    assert list(found.labels) == ["cross", "cross", "disc", "disc"]
    assert image(found, 3).size == (32, 32)


def test_a_table_of_paths_beside_the_images(class_folders: Callable[..., Path]) -> None:
    root = class_folders(2)
    rows = [
        f"{kind}/{number}.png,{kind.upper()},{split}" for kind in KINDS for number, split in ((0, "train"), (1, "val"))
    ]
    (root / "list.csv").write_text("file_name,label,split\n" + "\n".join(rows))
    for path in (root / "list.csv", root):
        found = find(path)
        assert list(found.labels) == ["CROSS", "CROSS", "DISC", "DISC"]
        assert list(found.parts) == ["train", "val"] * 2
        assert image(found, 2).size == (32, 32)


def test_tables_that_are_called_train_and_test_are_parts(class_folders: Callable[..., Path]) -> None:
    root = class_folders(2)
    (root / "train.csv").write_text("image;label\ncross/0.png;a\ndisc/0.png;b\n")
    (root / "test.csv").write_text("image;label\ncross/1.png;a\n")
    found = find(root)
    assert sorted(zip(found.names, found.labels, found.parts, strict=True)) == [
        ("cross/0.png", "a", "train"),
        ("cross/1.png", "a", "test"),
        ("disc/0.png", "b", "train"),
    ]


def test_columns_are_named_where_they_cannot_be_found(class_folders: Callable[..., Path]) -> None:
    root = class_folders(1)
    (root / "list.csv").write_text("where,what,when\ncross/0.png,a,1\ndisc/0.png,b,2\n")
    with pytest.raises(DataProblem, match="Set image_column to one of where, what, when"):
        find(root / "list.csv")
    with pytest.raises(DataProblem, match='no column "nowhere"'):
        find(root / "list.csv", image_column="nowhere")
    found = find(root / "list.csv", image_column="where", label_column="what")
    assert list(found.labels) == ["a", "b"]


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "cross/../../secret.png", "link.png"])
def test_no_path_of_a_table_leaves_its_folder(class_folders: Callable[..., Path], tmp_path: Path, path: str) -> None:
    root = class_folders(1)
    (tmp_path / "secret.png").write_bytes(png(picture("disc", 0)))
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "list.csv").write_text(f"path,label\n{path},a\ncross/0.png,b\n")
    found = find(root / "list.csv")
    with pytest.raises(OSError):
        found.read(0)
    assert image(found, 1).size == (32, 32)


def test_names_in_a_zip_are_names_only(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        for name in ("../../a/1.png", "/b/1.png", "c/1.png", "d/1.png"):
            archive.writestr(name, png(picture("disc", 1)))
    names, _ = unlabelled(tmp_path / "evil.zip")
    assert names == ["c/1.png", "d/1.png"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["evil.zip"]


def test_a_bomb_in_a_zip_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainers.vision.trees.MAX_IMAGE_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", b"\0" * 10_000_000)
        archive.writestr("b/1.png", b"")
    found = find(tmp_path / "bomb.zip")
    with pytest.raises(OSError, match="longer than"):
        found.read(0)


def test_a_zip_that_lists_too_many_files_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(100):
            archive.writestr(f"a/{number}.png", b"")
    monkeypatch.setattr("trainers.vision.trees.MAX_DIRECTORY_BYTES", 1000)
    with pytest.raises(DataProblem, match="too many files"):
        Archive(tmp_path / "many.zip")


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_a_cut_zip_is_said_to_be_cut(class_folders: Callable[..., Path], tmp_path: Path, cut: float) -> None:
    whole = zipped(class_folders(3), tmp_path / "all.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: int(len(whole) * cut)])
    with pytest.raises(DataProblem, match=r"cut\.zip"):
        find(tmp_path / "cut.zip")


def test_a_damaged_image_in_a_zip_is_an_unreadable_file(class_folders: Callable[..., Path], tmp_path: Path) -> None:
    path = zipped(class_folders(1), tmp_path / "all.zip")
    content = bytearray(path.read_bytes())
    content[60:70] = b"\xff" * 10
    path.write_bytes(content)
    with pytest.raises(OSError):
        find(path).read(0)


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files(tmp_path: Path, packed: bool) -> None:
    pixels = np.arange(4 * 28 * 28, dtype=np.uint8).reshape(4, 28, 28)

    def write(name: str, content: bytes) -> None:
        path = tmp_path / (name + (".gz" if packed else ""))
        path.write_bytes(gzip.compress(content) if packed else content)

    for part, places in (("train", slice(0, 3)), ("t10k", slice(3, 4))):
        images = pixels[places]
        write(f"{part}-images-idx3-ubyte", struct.pack(">4B3I", 0, 0, 8, 3, *images.shape) + images.tobytes())
        write(f"{part}-labels-idx1-ubyte", struct.pack(">4BI", 0, 0, 8, 1, len(images)) + bytes([7] * len(images)))
    found = find(tmp_path)
    assert sorted(found.parts) == ["test", "train", "train", "train"]
    assert set(found.labels) == {"7"}
    assert any(np.array_equal(found.read(place), pixels[3]) for place in range(4))


def test_a_cut_idx_file_is_said_to_be_cut(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, 9, 28, 28) + b"\0" * 100)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(struct.pack(">4BI", 0, 0, 8, 1, 9) + b"\1" * 9)
    with pytest.raises(DataProblem, match="no whole IDX file"):
        find(tmp_path)


@pytest.mark.parametrize("nested", [False, True])
def test_parquet_with_the_bytes_of_images(tmp_path: Path, nested: bool) -> None:
    contents = [png(picture(kind, 1)) for kind in KINDS]
    images = [{"bytes": content, "path": None} for content in contents] if nested else contents
    pl.DataFrame({"image": images, "label": [0, 1]}).write_parquet(tmp_path / "all.parquet")
    found = find(tmp_path / "all.parquet")
    assert list(found.labels) == ["0", "1"]
    assert found.read(1) == contents[1]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.png": b""}, "lies in no class's folder"),
        ({"a/readme.txt": b""}, "there are no images in it"),
        ({"a.csv": b"x,y\n", "b.csv": b"x,y\n"}, "several tables"),
        ({"list.csv": b"path,label\na.png,\n"}, "Row 2"),
        ({"list.csv": b"path,label\n"}, "no images"),
        ({"list.csv": b""}, "cannot be read as a table"),
    ],
)
def test_what_cannot_be_used_is_said_in_words(tmp_path: Path, files: dict[str, bytes], words: str) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataProblem, match=words):
        find(tmp_path)


def test_a_file_that_is_none_of_these(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(b"hello")
    with pytest.raises(DataProblem, match="give a folder"):
        find(tmp_path / "a.docx")


def test_images_to_predict_on_need_no_labels(class_folders: Callable[..., Path], tmp_path: Path) -> None:
    root = class_folders(1)
    (root / "list.csv").write_text("file,size\ncross/0.png,3\n")
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "loose.png").write_bytes((root / "disc" / "0.png").read_bytes())
    pl.DataFrame({"picture": [b"first", b"second"]}).write_parquet(tmp_path / "pictures.parquet")
    found = {
        "a folder": unlabelled(root),
        "a zip": unlabelled(zipped(tmp_path / "one", tmp_path / "one.zip")),
        "a table": unlabelled(root / "list.csv"),
        "Parquet": unlabelled(tmp_path / "pictures.parquet"),
        "an image": unlabelled(root / "disc" / "0.png"),
    }
    assert {kind: list(names) for kind, (names, _) in found.items()} == {
        "a folder": ["cross/0.png", "disc/0.png"],
        "a zip": ["loose.png"],
        "a table": ["cross/0.png"],
        "Parquet": ["row 1", "row 2"],
        "an image": ["0.png"],
    }
    assert found["Parquet"][1](1) == b"second"
    assert found["a table"][1](0) == (root / "cross" / "0.png").read_bytes()
    assert found["an image"][1](0) == found["a zip"][1](0)
