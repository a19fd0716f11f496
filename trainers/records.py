"""Reads JSON record by record, an object a line or an array of objects, however long the file is.

What a cell means is decided where that of a CSV cell is: a value becomes the text that a CSV would hold.
"""

import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

import polars as pl

from trainers.protocol import DataProblem

LINES_SUFFIXES = (".jsonl", ".ndjson")
ARRAY_SUFFIXES = (".json",)
SUFFIXES = LINES_SUFFIXES + ARRAY_SUFFIXES
MAX_RECORD_CHARACTERS = 16 * 1024**2
MAX_COLUMNS = 20_000
BLOCK_CHARACTERS = 1024**2
BATCH_ROWS = 10_000
BATCH_CELLS = 2_000_000  # a batch of many columns has fewer rows
LEAST_FILLED = 0.01  # of the cells of a batch of full size, where there are many columns
MANY_COLUMNS = 100
_SPACE = " \t\r\n\ufeff"


def read_records(file: TextIO, name: str) -> Iterator[dict[str, Any]]:
    """The objects in the file: one after the other, or in an array.

    Raises DataProblem, naming the file and the line: it is no JSON, one of them is no object, or too long.
    """
    reader = _Reader(file, name)
    in_array = reader.next_character() == "["
    if in_array:
        reader.skip()
    number = 0
    while True:
        found = reader.next_character()
        if in_array and found == "]":
            reader.skip()
            if reader.next_character():
                raise reader.problem("there is something behind the end of the array")
            return
        if not found:
            if in_array:
                raise reader.problem("the array has no end; is the file whole?")
            return
        if in_array and number:
            if found != ",":
                raise reader.problem("a comma is missing between two records")
            reader.skip()
        record = reader.value()
        if not isinstance(record, dict):
            raise reader.problem(f'a record is an object such as {{"text": …}}, this is {_kind(record)}')
        number += 1
        yield record


def batches(records: Iterable[dict[str, Any]], name: str, *, rows: int = BATCH_ROWS) -> Iterator[dict[str, list[Any]]]:
    """The records as columns, at most `rows` of them at a time, the columns in the order in which they first come.

    A key that a record lacks is None in it. Every batch has the columns of those before it. Raises DataProblem: too
    many keys, or so few of them in a record that a small file would make an enormous table.
    """
    columns: dict[str, list[Any]] = {}
    count = filled = 0
    for record in records:
        for key in record:
            if key not in columns:
                if len(columns) >= MAX_COLUMNS:
                    raise DataProblem(f"{name} has more than {MAX_COLUMNS} different keys.", details={"file": name})
                columns[key] = [None] * count
        for key, values in columns.items():
            values.append(record.get(key))
        count += 1
        filled += len(record)
        cells_held = count * len(columns)
        if cells_held >= BATCH_CELLS and len(columns) > MANY_COLUMNS and filled < LEAST_FILLED * cells_held:
            raise DataProblem(
                f"{name} has {len(columns)} different keys or more, of which a record has {filled / count:.1f} on "
                "average: the records of a table share their keys.",
                details={"file": name},
            )
        if count == rows or cells_held >= BATCH_CELLS:
            yield columns
            columns, count, filled = {key: [] for key in columns}, 0, 0
    if count:
        yield columns


def cells(values: list[Any]) -> list[str | None] | None:
    """The values of a column as a CSV would spell them, what is missing as None; None if one is a list or an object."""
    if any(isinstance(value, dict | list) for value in values):
        return None
    return [None if value is None else _text(value) for value in values]


def read_frame(text: str, name: str) -> tuple[pl.DataFrame, list[str]]:
    """All records as a table of texts, and the names of the columns left out for holding lists or objects.

    Raises DataProblem: see `read_records`; or there is no record, or nothing in them but lists and objects.
    """
    frames: list[pl.DataFrame] = []
    nested: dict[str, None] = {}
    for columns in batches(read_records(io.StringIO(text), name), name, rows=BATCH_ROWS):
        found = {key: cells(values) for key, values in columns.items()}
        nested |= dict.fromkeys(clean(key) for key, values in found.items() if values is None)
        kept = {clean(key): values for key, values in found.items() if values is not None}
        frames.append(pl.DataFrame(kept, schema=dict.fromkeys(kept, pl.String)))
    if not frames:
        raise DataProblem(f"{name} holds no records.", details={"file": name})
    frame = pl.concat(frames, how="diagonal").drop(nested, strict=False)
    if not frame.width:
        raise DataProblem(
            f"{name} holds no plain values, but lists and objects in {', '.join(list(nested)[:10]) or 'nothing'}. "
            'Give a list of records such as {"text": "…", "label": "…"}.',
            details={"file": name},
        )
    return frame, list(nested)


def clean(text: str) -> str:
    """Without lone surrogates, which JSON can spell and no encoding can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)


def _kind(value: Any) -> str:
    return {list: "a list", str: "a text", bool: "true or false", type(None): "null"}.get(type(value), "a number")


class _Reader:
    """The file's text from where it is read, as much of it as the next value needs."""

    def __init__(self, file: TextIO, name: str) -> None:
        self._file, self._name = file, name
        self._decoder = json.JSONDecoder()
        self._text, self._at, self._line = "", 0, 1

    def next_character(self) -> str:
        """The next one that is no white space, which is passed over; "" at the end."""
        while True:
            start = self._at
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            self._line += self._text.count("\n", start, self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(BLOCK_CHARACTERS):
                return ""

    def skip(self) -> None:
        """Pass over the character that `next_character` has found."""
        self._at += 1

    def value(self) -> Any:
        """The value that begins here. Raises DataProblem."""
        self.next_character()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                length = len(self._text) - self._at
                if length > MAX_RECORD_CHARACTERS:
                    raise self.problem(
                        f"a record is damaged ({error.msg}), or longer than {MAX_RECORD_CHARACTERS} characters"
                    ) from error
                if not self._more(max(length, BLOCK_CHARACTERS)):
                    raise self.problem(f"this is no JSON: {error.msg.removesuffix(' at')}") from error
            except RecursionError as error:
                raise self.problem("a record is nested too deep") from error
            except ValueError as error:  # of int(): its digits are limited
                raise self.problem("a number has too many digits") from error
            else:
                # A number may have been cut through at the end of what is read so far; nothing else can.
                if end == len(self._text) and not isinstance(value, dict | list | str) and self._more(BLOCK_CHARACTERS):
                    continue
                self._line += self._text.count("\n", self._at, end)
                self._at = end
                return value

    def problem(self, sentence: str) -> DataProblem:
        """The exception that says so of the place that is read."""
        return DataProblem(
            f"{self._name}, line {self._line}: {sentence}.", details={"file": self._name, "line": self._line}
        )

    def _more(self, characters: int) -> bool:
        try:
            block = self._file.read(characters)
        except UnicodeDecodeError as error:
            raise self.problem("the text is damaged") from error
        self._text, self._at = self._text[self._at :] + block, 0
        return bool(block)
