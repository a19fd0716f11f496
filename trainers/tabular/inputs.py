"""Rows to predict for, in any form a caller has them, as typed columns. Raises nothing but TrainerError.

A text is CSV (one row or many, with or without a header line) or JSON (an object, a list of objects, of lists, or one
row of values); it is never taken for a path. A file is given as a `Path`.
"""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from trainers.protocol import DataProblem
from trainers.tabular import values
from trainers.tabular.encoder import DTYPES
from trainers.tabular.kinds import Column, parse
from trainers.tabular.read import DELIMITERS, read_table, sniff_delimiter

MAX_ROWS = 1_000_000
MAX_CHARACTERS = 100_000_000
COLUMNS_NAMED = 30


@dataclass(frozen=True)
class Cells:
    """Columns of cells (text, or numbers of a typed file) and the number of each row as its writer counts."""

    frame: pl.DataFrame
    rows: Sequence[int]


def parse_rows(input_data: Any, columns: Sequence[Column], notes: list[str] | None = None) -> pl.DataFrame:
    """The used columns, typed as training had them, one row an input row.

    `columns` are all inputs in the training file's order. What had to be assumed (a column that is missing, one that is
    not known) is added to `notes`. Raises DataProblem naming row and column.
    """
    notes = notes if notes is not None else []
    if isinstance(input_data, Path):
        table = read_table(input_data)
        cells = Cells(table.frame, table.row.tolist())
    elif isinstance(input_data, pl.DataFrame):
        cells = Cells(input_data, range(1, input_data.height + 1))
    elif isinstance(input_data, str):
        cells = _from_text(input_data, columns)
    elif isinstance(input_data, (Mapping, list, tuple)):
        cells = _from_json(input_data, columns)
    else:
        raise DataProblem(
            f"The input is a {type(input_data).__name__}; CSV text, a JSON object or a list of them are understood."
        )
    if not cells.frame.height:
        raise DataProblem("The input holds no rows.")
    if cells.frame.height > MAX_ROWS:
        raise DataProblem(f"The input has {cells.frame.height} rows; {MAX_ROWS} are allowed at once.")
    return _typed(cells, columns, notes)


def _typed(cells: Cells, columns: Sequence[Column], notes: list[str]) -> pl.DataFrame:
    given = {_folded(name): name for name in reversed(cells.frame.columns)}
    known = {_folded(column.name) for column in columns}
    unknown = [name for folded, name in given.items() if folded not in known]
    if len(unknown) == len(given):
        raise DataProblem(
            f"None of the input's columns is one of the model's: it takes {_listed(columns)}.",
            details={"columns": unknown[:COLUMNS_NAMED]},
        )
    if unknown:
        notes.append(f"columns that the model does not know are ignored: {', '.join(unknown[:COLUMNS_NAMED])}")
    typed = []
    for column in columns:
        if column.kind == "ignored":
            continue
        name = column.name if column.name in cells.frame.columns else given.get(_folded(column.name))
        if name is not None:
            typed.append(_column(cells, name, column))
        elif column.missing:
            notes.append(f'column "{column.name}" is not given and taken as missing, as it sometimes was in training')
            typed.append(pl.Series(column.name, [None] * cells.frame.height, dtype=DTYPES[column.kind]))
        else:
            raise DataProblem(
                f'The column "{column.name}" is not given, and in training it was never missing. The model takes '
                f"{_listed(columns)}.",
                details={"column": column.name},
            )
    return pl.DataFrame(typed)


def _column(cells: Cells, name: str, column: Column) -> pl.Series:
    raw = cells.frame[name]
    try:
        series = parse(raw, column)
        text = values.as_text(raw)
    except pl.exceptions.PolarsError as error:
        raise DataProblem(f'The column "{name}" holds no plain values.', details={"column": name}) from error
    if column.kind in ("number", "boolean", "date") and not column.lenient:
        lost = np.flatnonzero((series.is_null() & text.is_not_null()).to_numpy())
        if len(lost):
            position = int(lost[0])
            expected = {"number": "a number", "boolean": "yes or no", "date": "a date"}[column.kind]
            raise DataProblem(
                f'Row {cells.rows[position]}, column "{column.name}": "{text[position][:50]}" is not {expected}'
                + (f", such as {column.examples[0]}." if column.examples else "."),
                details={"column": column.name, "row": cells.rows[position]},
            )
    return series.alias(column.name)


def _from_text(text: str, columns: Sequence[Column]) -> Cells:
    if len(text) > MAX_CHARACTERS:
        raise DataProblem(f"The input has {len(text)} characters; {MAX_CHARACTERS} are allowed. Give a file instead.")
    text = text.lstrip("\ufeff").strip("\r\n")
    if text.lstrip()[:1] in ("{", "["):
        try:
            return _from_json(json.loads(text), columns)
        except (ValueError, RecursionError) as error:
            raise DataProblem(f"The input begins like JSON and cannot be read as such: {str(error)[:100]}.") from error
    records = _records(text, columns)
    if not records:
        raise DataProblem("The input is empty.")
    first = [cell.strip() for cell in records[0][1]]
    known = {_folded(column.name) for column in columns}
    if sum(_folded(cell) in known for cell in first) * 2 > len(first):
        return _named(first, records[1:])
    return _positional(records, columns)


def _records(text: str, columns: Sequence[Column]) -> list[tuple[int, list[str]]]:
    """(row number, cells) of each record that is not blank."""
    widths = _widths(columns)
    line = text.split("\n", 1)[0]
    try:
        fitting = [d for d in DELIMITERS if len(next(csv.reader([line], delimiter=d), [])) in widths]
        if 1 in widths and len(widths) == 1 and not fitting:
            return [(i, [row.strip("\r")]) for i, row in enumerate(text.split("\n"), start=1) if row.strip()]
        reader = csv.reader(io.StringIO(text), delimiter=fitting[0] if fitting else sniff_delimiter(text))
        records: list[tuple[int, list[str]]] = []
        for number, record in enumerate(reader, start=1):
            if len(records) > MAX_ROWS:
                raise DataProblem(f"The input has more than {MAX_ROWS} rows, which are allowed at once.")
            if any(cell.strip() for cell in record):
                records.append((number, record))
    except csv.Error as error:
        raise DataProblem(f"The input cannot be read as CSV: {error}.") from error
    return records


def _named(names: list[str], records: list[tuple[int, list[str]]]) -> Cells:
    """Rows under a header line."""
    if not records:
        raise DataProblem("The input is a header line with no row below it.")
    for number, record in records:
        if len(record) != len(names):
            raise DataProblem(
                f"Row {number} has {len(record)} values where the header has {len(names)}.", details={"row": number}
            )
    columns: dict[str, list[str | None]] = {}
    for i, name in enumerate(names):
        columns.setdefault(name or f"column_{i + 1}", [_text(record[i]) for _, record in records])
    return Cells(_frame(columns), [number for number, _ in records])


def _positional(records: Sequence[tuple[int, Sequence[Any]]], columns: Sequence[Column]) -> Cells:
    """Rows without names: in the order of all inputs, or of the used ones only."""
    used = [column for column in columns if column.kind != "ignored"]
    width = len(records[0][1])
    chosen = columns if width == len(columns) else used
    for number, record in records:
        if len(record) != len(chosen):
            raise DataProblem(
                f"Row {number} has {len(record)} values; the model takes {_widths_text(columns)}: {_listed(columns)} "
                "(the target is not among them).",
                details={"row": number, "given": len(record), "expected": len(columns)},
            )
    by_name = {
        column.name: [_cell(record[i], column, number) for number, record in records]
        for i, column in enumerate(chosen)
        if column.kind != "ignored"
    }
    return Cells(_frame(by_name), [number for number, _ in records])


def _from_json(value: Any, columns: Sequence[Column]) -> Cells:
    rows: list[Any] = [value] if isinstance(value, Mapping) else list(value)
    if not rows:
        raise DataProblem("The input is an empty list.")
    if len(rows) > MAX_ROWS:
        raise DataProblem(f"The input has {len(rows)} rows; {MAX_ROWS} are allowed at once.")
    if not any(isinstance(row, (Mapping, list, tuple)) for row in rows):
        if all(isinstance(row, str) for row in rows) and len(rows) not in _widths(columns):
            return _from_text("\n".join(rows), columns)  # one CSV row a string
        rows = [rows]
    if all(isinstance(row, (list, tuple)) for row in rows):
        return _positional(list(enumerate(rows, start=1)), columns)
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise DataProblem(f"Row {number} is not an object as others are.", details={"row": number})
    by_folded = {_folded(column.name): column for column in columns}
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    cells = {
        name: [_cell(row.get(name), by_folded.get(_folded(name)), number) for number, row in enumerate(rows, start=1)]
        for name in names
        if _folded(name) in by_folded
    }
    if not cells:
        raise DataProblem(
            f"None of the input's names is one of the model's: it takes {_listed(columns)}.",
            details={"columns": [name[:100] for name in names[:COLUMNS_NAMED]]},
        )
    return Cells(_frame(cells), range(1, len(rows) + 1))


def _cell(value: Any, column: Column | None, row: int) -> str | None:
    """A cell as the text that a CSV of the training file's style would hold; None where it is missing."""
    if value is None or isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        try:
            if not math.isfinite(value):
                return None
        except OverflowError:
            value = math.copysign(values.LARGEST, value)
        text = repr(value)
        return text.replace(".", ",") if column is not None and column.style == "decimal_comma" else text
    name = column.name if column is not None else "?"
    raise DataProblem(
        f'Row {row}, column "{name}": a {type(value).__name__} is no plain value.', details={"column": name, "row": row}
    )


def _text(value: str | None) -> str | None:
    """Without lone surrogates, which JSON can spell and no encoding can hold."""
    return value if value is None else value.encode("utf-8", "replace").decode("utf-8")


def _frame(columns: Mapping[str, list[str | None]]) -> pl.DataFrame:
    return pl.DataFrame(
        {_text(name): cells for name, cells in columns.items()}, schema_overrides=None, strict=True
    ).cast(pl.String)


def _folded(name: str) -> str:
    return " ".join(name.split()).lower()


def _widths(columns: Sequence[Column]) -> set[int]:
    return {len(columns), sum(column.kind != "ignored" for column in columns)}


def _widths_text(columns: Sequence[Column]) -> str:
    return " or ".join(str(width) for width in sorted(_widths(columns), reverse=True))


def _listed(columns: Sequence[Column]) -> str:
    names = [column.name for column in columns[:COLUMNS_NAMED]]
    return ", ".join(names) + (", …" if len(columns) > COLUMNS_NAMED else "")
