"""Uploads of JSON: lines of objects or an array of them are tables, and what is neither is refused by its line."""

import io

import pytest

from automl_site.errors import DatasetError
from datasets_app import services
from datasets_app.models import Dataset
from datasets_app.selectors import preview

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_root")]

LINES = b'{"text": "a fine film", "label": 1}\n\n{"text": "a poor one", "label": 0, "tags": ["x"], "stars": 2.5}\n'
ARRAY = b"\xef\xbb\xbf[" + LINES.replace(b"\n\n", b",\n") + b"]"


def upload(user: object, content: bytes, name: str, format: str | None = None) -> Dataset:
    return services.dataset_upload(owner=user, file=io.BytesIO(content), filename=name, format=format)


@pytest.mark.parametrize(
    ("content", "name", "format", "found"),
    [
        (LINES, "x.jsonl", None, "jsonl"),
        (LINES, "x.ndjson", None, "jsonl"),
        (LINES, "upload", None, "jsonl"),
        (LINES, "x.csv", "jsonl", "jsonl"),
        (LINES, "x.json", None, "json"),
        (ARRAY, "x.json", None, "json"),
        (ARRAY, "upload", None, "json"),
        (ARRAY.decode("utf-8-sig").encode("utf-16"), "x.json", None, "json"),
    ],
)
def test_records_are_rows_whichever_way_they_are_written(
    user: object, content: bytes, name: str, format: str | None, found: str
) -> None:
    dataset = upload(user, content, name, format)
    assert (dataset.format, dataset.rows, dataset.columns) == (found, 2, ["text", "label", "tags", "stars"])
    assert {column: dataset.schema[column]["kind"] for column in dataset.columns} == {
        "text": "text", "label": "integer", "tags": "nested", "stars": "number",
    }  # fmt: skip
    assert (dataset.schema["stars"]["missing"], dataset.analysis["text_column"]) == (1, "text")
    assert preview(dataset=dataset, limit=1) == [{"text": "a fine film", "label": 1, "tags": "(nested)", "stars": None}]
    assert preview(dataset=dataset, limit=5)[1]["stars"] == 2.5


def test_odd_keys_and_values_neither_break_the_database_nor_the_page(user: object) -> None:
    content = b'{"a\\u0000b": "\\ud800 \\u0000", " ": NaN, "n": 1' + b"0" * 999 + b"}\n"
    dataset = upload(user, content, "x.jsonl")
    assert dataset.columns == ["a\ufffdb", "column_2", "n"]
    [row] = preview(dataset=dataset, limit=5)
    assert (row["a\ufffdb"], row["column_2"]) == ("? \ufffd", None)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"[]", "holds no records"),
        (b"{}\n{}", "holds no records"),
        (b'[{"a": [1]}]', "holds no plain values"),
        (b"[1, 2]", "line 1: a record is an object"),
        (b'{"a": 1}\n"b"\n', "line 2: a record is an object"),
        (b'{"a": 1}\n\n{"a": 1\n', "line 3: this is no JSON"),
        (b'[{"a": 1} {"a": 1}]', "line 1: a comma is missing"),
        (b'[{"a": 1},\n{"a": 1}', "line 2: the array has no end"),
        (b'[{"a": 1}]\n[', "line 2: there is something behind"),
        (b'{"a": ' + b"[" * 100_000, "line 1: a record is nested too deep"),
        (b'{"a": ' + b"1" * 5000 + b"}", "line 1: a number has too many digits"),
        (b"\xff\xfe\x00\xd8\x00", "line 1: the text is damaged"),
        (b" \n ", "holds no records"),
        (b"hello", "line 1: this is no JSON"),
    ],
)
def test_what_is_no_list_of_records_is_refused_by_its_line(user: object, content: bytes, sentence: str) -> None:
    with pytest.raises(DatasetError) as refused:
        upload(user, content, "x.json")
    assert refused.value.message.startswith("x.json")
    assert sentence in refused.value.message
    assert not Dataset.objects.exists()


@pytest.mark.parametrize(("name", "content"), [("x.jsonl", b'{"text": "%s"}'), ("x.txt", b"%s")])
def test_a_preview_shows_the_beginning_of_a_long_text(user: object, name: str, content: bytes) -> None:
    [row] = preview(dataset=upload(user, content % (b"x" * 100_001), name), limit=5)
    assert row == {"text": "x" * 100_000 + "…"}
