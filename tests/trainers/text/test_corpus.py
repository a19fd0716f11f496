"""Documents are found in every form that people have them in; what is no text is said in words."""

import json
import zipfile
from pathlib import Path

import polars as pl
import pytest

from tests.trainers.conftest import Recorder
from trainers.protocol import DataProblem
from trainers.text.corpus import documents


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_text_file_in_any_encoding_with_a_mark(tmp_path: Path, recorder: Recorder, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("Grüße, 世界 🙂".encode(encoding))
    assert documents(tmp_path / "a.txt", recorder) == ["Grüße, 世界 🙂"]
    assert not recorder.lines


def test_an_old_encoding_is_read_and_said(tmp_path: Path, recorder: Recorder) -> None:
    (tmp_path / "a.txt").write_bytes("naïve café".encode("cp1252"))
    assert documents(tmp_path / "a.txt", recorder) == ["naïve café"]
    assert "not UTF-8 (byte 2)" in recorder.text("WARN")


def test_a_folder_of_files_in_their_order_without_hidden_ones(tmp_path: Path, recorder: Recorder) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.txt").write_text("two")
    (tmp_path / "a.md").write_text("one")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.txt").write_text("hidden")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "c.txt").write_text("  \n")
    assert documents(tmp_path, recorder) == ["one", "two"]
    assert "1 empty documents" in recorder.text("WARN")


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path, recorder: Recorder) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.txt").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "in" / "a.txt").write_text("open")
    assert documents(tmp_path / "in", recorder) == ["open"]


def write_table(path: Path, rows: dict[str, list[str]]) -> Path:
    frame = pl.DataFrame(rows)
    if path.suffix == ".csv":
        frame.write_csv(path)
    elif path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        path.write_text("\n".join(json.dumps(row) for row in frame.to_dicts()))
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_table_whose_column_is_found_by_name_or_by_length_or_named(
    tmp_path: Path, recorder: Recorder, name: str
) -> None:
    rows = {"Text": ["hello, world", "b"], "note": ["a very much longer text than the other", "c"]}
    assert documents(write_table(tmp_path / name, rows), recorder) == rows["Text"]
    assert documents(tmp_path / name, recorder, text_column="note") == rows["note"]
    rows = {"id": ["1", "2"], "what": ["the longest of them all", "x"]}
    assert documents(write_table(tmp_path / name, rows), recorder) == rows["what"]
    with pytest.raises(DataProblem, match='no column "nowhere"'):
        documents(tmp_path / name, recorder, text_column="nowhere")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_table_with_any_separator(tmp_path: Path, recorder: Recorder, separator: str) -> None:
    (tmp_path / "a.csv").write_text(f'id{separator}text\n1{separator}"one, two"\n2{separator}"three\nfour"\n')
    assert documents(tmp_path / "a.csv", recorder) == ["one, two", "three\nfour"]


def test_commas_that_stand_in_no_quotes_are_told(tmp_path: Path, recorder: Recorder) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,one, two\n")
    with pytest.raises(DataProblem, match="must stand in quotes"):
        documents(tmp_path / "a.csv", recorder)


def test_a_zip_of_files(tmp_path: Path, recorder: Recorder) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x/2.txt", "two")
        archive.writestr("x/1.txt", "one")
        archive.writestr("x/rows.csv", "text\nthree\n")
    assert documents(tmp_path / "a.zip", recorder) == ["one", "two", "three"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_is_damaged_inside_is_said_in_words(tmp_path: Path, recorder: Recorder, method: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.txt", " ".join(map(str, range(500))))
        place = archive.getinfo("a.txt").header_offset + 30 + len("a.txt")
    content = bytearray(path.read_bytes())
    content[place + 20 : place + 60] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(DataProblem, match="no whole zip"):
        documents(path, recorder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", b""),
        ("a.txt", b"\0\1\2\xff"),
        ("a.jsonl", b"{"),
        ("a.parquet", b"PAR1"),
        ("a.zip", b"PK"),
        ("a.csv", b""),
    ],
)
def test_what_holds_no_text_is_said_in_words(tmp_path: Path, recorder: Recorder, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataProblem):
        documents(tmp_path / name, recorder)
