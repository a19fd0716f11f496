"""Labelled texts are found in every form that people have them in, and what cannot be used is said."""

import json
import os
import zipfile
from pathlib import Path

import polars as pl
import pytest

from tests.trainers.conftest import Recorder
from trainers.protocol import DataProblem
from trainers.text.labelled import find, has_labels

ROWS = {"text": ["good film", "bad film", "so good"], "label": ["pos", "neg", "pos"]}


def write(path: Path, rows: dict[str, list[object]]) -> Path:
    frame = pl.DataFrame(rows)
    if path.suffix == ".csv":
        frame.write_csv(path)
    elif path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        path.write_text("\n".join(json.dumps(row) for row in frame.to_dicts()))
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_columns_are_found_by_their_names(tmp_path: Path, recorder: Recorder, name: str) -> None:
    found = find(
        write(tmp_path / name, {"id": [1, 2, 3], "Review": ROWS["text"], "Sentiment": ROWS["label"]}), recorder
    )
    assert (found.texts, found.labels) == (ROWS["text"], ROWS["label"])


def test_of_two_columns_the_other_is_the_label(tmp_path: Path, recorder: Recorder) -> None:
    found = find(write(tmp_path / "a.csv", {"kind": ROWS["label"], "what was said": ROWS["text"]}), recorder)
    assert (found.texts, found.labels) == (ROWS["text"], ROWS["label"])


def test_columns_are_taken_as_named(tmp_path: Path, recorder: Recorder) -> None:
    path = write(tmp_path / "a.csv", {**ROWS, "note": ["x", "y", "z"], "group": ["1", "2", "1"]})
    found = find(path, recorder, text_column="note", label_column="group")
    assert (found.texts, found.labels) == (["x", "y", "z"], ["1", "2", "1"])
    with pytest.raises(DataProblem, match='no column "nowhere"'):
        find(path, recorder, label_column="nowhere")


def test_a_table_that_does_not_say_which_column_it_is(tmp_path: Path, recorder: Recorder) -> None:
    with pytest.raises(DataProblem, match="Set label_column to one of a, b, c"):
        find(write(tmp_path / "a.csv", {"a": ["1"], "b": ["2"], "c": ["3"]}), recorder)


def test_empty_rows_are_left_out_and_counted(tmp_path: Path, recorder: Recorder) -> None:
    path = write(tmp_path / "a.jsonl", {"text": ["a", " ", None, "b"], "label": [1, 0, 1, None]})
    found = find(path, recorder)
    assert (found.texts, found.labels) == (["a"], ["1"])
    assert "3 rows without a text or without a label" in recorder.text("WARN")


def test_a_folder_of_class_folders_in_parts(tmp_path: Path, recorder: Recorder) -> None:
    for name in ("train/pos/1", "train/neg/1", "test/pos/1"):
        path = tmp_path / "imdb" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    found = find(tmp_path, recorder)
    assert sorted(zip(found.texts, found.labels, found.parts, strict=True)) == [
        ("test/pos/1", "pos", "test"),
        ("train/neg/1", "neg", "train"),
        ("train/pos/1", "pos", "train"),
    ]
    assert has_labels(tmp_path, recorder)


def test_a_class_whose_name_is_no_utf_8_is_told_with_marks(tmp_path: Path, recorder: Recorder) -> None:
    for name in (b"caf\xe9", b"bar"):
        folder = tmp_path / os.fsdecode(name)
        folder.mkdir()
        folder.joinpath("1.txt").write_text("text")
    assert find(tmp_path, recorder).labels == ["bar", "caf\ufffd"]


def test_tables_of_each_part_in_a_zip(tmp_path: Path, recorder: Recorder) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("train-00000-of-00001.csv", "text,label\na,1\nb,0\n")
        archive.writestr("test.csv", "text,label\nc,1\n")
    found = find(tmp_path / "a.zip", recorder)
    assert dict(zip(found.texts, found.parts, strict=True)) == {"a": "train", "b": "train", "c": "test"}


def test_a_column_says_the_part(tmp_path: Path, recorder: Recorder) -> None:
    found = find(write(tmp_path / "a.csv", {**ROWS, "split": ["train", "validation", "test"]}), recorder)
    assert found.parts == ["train", "val", "test"]


def test_plain_text_is_not_labelled(tmp_path: Path, recorder: Recorder) -> None:
    (tmp_path / "a.txt").write_text("some text")
    assert not has_labels(tmp_path, recorder)
    with pytest.raises(DataProblem, match="a folder of text files for each class"):
        find(tmp_path / "a.txt", recorder)
