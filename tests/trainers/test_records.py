"""JSON is read record by record, in pieces of any size, and means what a CSV of the same values would."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trainers.conftest import Recorder
from trainers import records
from trainers.protocol import DataProblem
from trainers.tabular.read import read_table
from trainers.text.corpus import documents

ROWS = [{"text": f'text {number}, ["x"]', "n": number, "deep": {"a": [number]}} for number in range(30)]


@pytest.mark.parametrize("array", [True, False])
@pytest.mark.parametrize("block", [1, 7, 1000])
def test_records_may_be_cut_through_anywhere(monkeypatch: pytest.MonkeyPatch, array: bool, block: int) -> None:
    monkeypatch.setattr(records, "BLOCK_CHARACTERS", block)
    lines = [json.dumps(row) for row in ROWS]
    text = "[" + ",\n".join(lines) + "]\n" if array else "\n".join(lines)
    found = list(records.read_records(io.StringIO(text), "x"))
    assert found == ROWS


def test_a_record_that_does_not_end_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_RECORD_CHARACTERS", 100)
    monkeypatch.setattr(records, "BLOCK_CHARACTERS", 10)
    file = io.StringIO('{"a": 1}\n{"a": "' + "x" * 10_000)
    with pytest.raises(DataProblem, match="line 2: a record is damaged .* or longer than 100 characters"):
        list(records.read_records(file, "x"))
    assert file.tell() < 1000


def test_too_many_keys_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_COLUMNS", 2)
    with pytest.raises(DataProblem, match="more than 2 different keys"):
        list(records.batches([{"a": 1}, {"b": 1}, {"c": 1}], "x"))


def test_records_that_share_no_keys_are_refused_before_they_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "BATCH_CELLS", 40_000)
    read = 0

    def scattered() -> Iterator[dict[str, int]]:
        nonlocal read
        for read in range(10_000):
            yield {f"k{read}": 1}

    with pytest.raises(DataProblem, match="x has 200 different keys or more, of which a record has 1.0 on average"):
        list(records.batches(scattered(), "x"))
    assert read == 199
    wide = [dict.fromkeys(map(str, range(300)), 1)] * 400
    assert [len(batch["0"]) for batch in records.batches(wide, "x")] == [134, 134, 132]


def test_a_column_that_holds_lists_only_later_is_left_out_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "BATCH_ROWS", 1)
    frame, nested = records.read_frame('{"a": 1, "b": "x"} {"a": [1]} {"c": true}', "x")
    assert frame.to_dicts() == [{"b": "x", "c": None}, {"b": None, "c": None}, {"b": None, "c": "true"}]
    assert nested == ["a"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"x": 1.5, "y": "01067", "z": true}\n{"x": null, "y": "b", "more": [1]}\n'),
        ("a.json", '[{"x": 1.5, "y": "01067", "z": true}, {"y": "b", "more": [1]}]'),
    ],
)
def test_a_table_of_records_is_read_as_a_csv_of_the_same_values_would_be(
    tmp_path: Path, recorder: Recorder, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    table = read_table(tmp_path / name)
    assert table.frame.to_dicts() == [{"x": "1.5", "y": "01067", "z": "true"}, {"x": None, "y": "b", "z": None}]
    assert (table.row.tolist(), table.notes) == ([1, 2], [("WARN", "left out columns that hold no plain values: more")])
    assert documents(tmp_path / name, recorder, text_column="y") == ["01067", "b"]


def test_a_json_file_beside_texts_describes_them(tmp_path: Path, recorder: Recorder) -> None:
    (tmp_path / "info.json").write_text('{"text": "about"}')
    assert documents(tmp_path, recorder) == ["about"]
    (tmp_path / "a.txt").write_text("hello")
    assert documents(tmp_path, recorder) == ["hello"]
