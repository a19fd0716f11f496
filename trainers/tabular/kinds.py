"""Finds what kind each input column is, and turns its cells into numbers, dates or text accordingly."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import polars as pl

from trainers.protocol import DataProblem, ModelProblem
from trainers.tabular import values
from trainers.tabular.read import Note, Table

Kind = Literal["number", "boolean", "date", "category", "text", "ignored"]
KINDS = ("number", "boolean", "date", "category", "text", "ignored")

READABLE_SHARE = 0.9  # of a column's values must be numbers (dates) for it to be a number (date) column
TEXT_WORDS = 3.0  # words a cell, on average, from which a column of many different values is free text
TEXT_DISTINCT_SHARE = 0.3
ID_ROWS = 20  # with fewer rows, all different values prove nothing
ID_NAMES = ("id", "index", "uuid", "guid", "key", "rowid", "row_id", "unnamed: 0")
EXAMPLES = 3


@dataclass(frozen=True)
class Column:
    """An input column as training saw it; all that is needed to read new cells of it."""

    name: str
    kind: Kind
    style: values.NumberStyle = "plain"  # of numbers
    date_format: str = ""  # of dates
    lenient: bool = False  # training met unreadable cells and took them as missing; so does prediction
    missing: bool = False  # training met missing cells
    reason: str = ""  # why it is ignored
    examples: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, state: Any) -> "Column":
        """Raises ModelProblem unless it is what `to_json` writes."""
        if not isinstance(state, Mapping) or set(state) != set(cls.__dataclass_fields__):
            raise ModelProblem("The model's manifest describes a column in an unknown way.")
        texts = (state["name"], state["style"], state["date_format"], state["reason"])
        flags = (state["lenient"], state["missing"])
        if (
            state["kind"] not in KINDS
            or not all(isinstance(text, str) for text in texts)
            or not all(isinstance(flag, bool) for flag in flags)
            or state["style"] not in ("plain", "thousands", "decimal_comma")
            or not isinstance(state["examples"], list)
        ):
            raise ModelProblem("The model's manifest describes a column in an unknown way.")
        return cls(**state)


def read_plain_numbers(table: Table, target: str) -> Table:
    """The table with every column of nothing but plain numbers (and empty cells) as Float64, except the target.

    Most columns of most tables are such; they are converted once, all at the same time.
    """
    names = [name for name, dtype in table.frame.schema.items() if dtype == pl.String and name != target]
    cast = table.frame.select(pl.col(names).cast(pl.Float64, strict=False).fill_nan(None)) if names else pl.DataFrame()
    plain = [
        cast[name]
        for name in names
        if cast[name].null_count() == table.frame[name].null_count() < len(cast) and not _has_codes(table.frame[name])
    ]
    return Table(table.frame.with_columns(plain), table.row, table.file, table.files, table.notes)


def find_columns(table: Table, target: str) -> tuple[list[Column], list[Note]]:
    """Every column but the target, in the file's order, with its kind; and what the log should say about it."""
    notes: list[Note] = []
    columns = [_find(table, name, notes) for name in table.frame.columns if name != target]
    ignored = [column for column in columns if column.kind == "ignored"]
    for column in ignored:
        notes.append(("INFO", f'left out column "{column.name}": {column.reason}'))
    if len(ignored) == len(columns):
        raise DataProblem(
            f'No column is left to learn from besides the target "{target}"'
            + (": " + "; ".join(f'"{c.name}" {c.reason}' for c in ignored[:5]) if ignored else "")
            + ".",
            details={"column": target},
        )
    return columns, notes


def parse(cells: pl.Series, column: Column) -> pl.Series:
    """Cells as the column's kind: Float64 (number, boolean), Datetime (date), String; null where unreadable."""
    if column.kind == "number":
        if cells.dtype.is_numeric():
            found = cells.cast(pl.Float64).fill_nan(None)
        else:
            found = values.numbers(values.as_text(cells), column.style)
        found = found.set(found.is_infinite().fill_null(False), None)
        return found.clip(-values.LARGEST, values.LARGEST)
    text = values.as_text(cells)
    if column.kind == "boolean":
        return values.booleans(text)
    if column.kind == "date":
        return values.any_dates(text, column.date_format)
    return text


def parse_table(table: Table, columns: list[Column], notes: list[Note]) -> pl.DataFrame:
    """All used columns, parsed; unreadable, infinite and extreme cells are reported by row."""
    parsed = []
    for column in columns:
        if column.kind == "ignored":
            continue
        cells = table.frame[column.name]
        series = parse(cells, column)
        parsed.append(series.alias(column.name))
        if column.kind in ("number", "date", "boolean") and series.null_count() > cells.null_count():
            text = values.as_text(cells)
            lost = np.flatnonzero((series.is_null() & text.is_not_null()).to_numpy())
            if len(lost):
                shown = ", ".join(f'"{value[:30]}"' for value in text.gather(lost[:50]).unique(maintain_order=True)[:3])
                where = table.rows_text(lost)
                notes.append(
                    ("WARN", f'column "{column.name}": {shown} is no {column.kind}, taken as missing in {where}')
                )
        if column.kind == "number":
            extreme = np.flatnonzero((series.abs() >= values.LARGEST).fill_null(False).to_numpy())
            if len(extreme):
                notes.append(
                    ("WARN", f'column "{column.name}": cut off at {values.LARGEST:g} in {table.rows_text(extreme)}')
                )
    return pl.DataFrame(parsed)


def _find(table: Table, name: str, notes: list[Note]) -> Column:
    cells = table.frame[name]
    if cells.dtype.is_numeric():
        return _number(name, cells.cast(pl.Float64).fill_nan(None), "plain", cells, lenient=False)
    text = values.as_text(cells)
    present = text.drop_nulls()
    has_missing = len(present) < len(text)
    if not len(present):
        return Column(name, "ignored", reason="it is empty", missing=True)
    distinct = present.n_unique()
    examples = present.unique(maintain_order=True)[:EXAMPLES].to_list()
    if distinct == 1:
        return Column(name, "ignored", reason="it is the same in every row", missing=has_missing, examples=examples)
    if _is_boolean(present):
        return Column(name, "boolean", missing=has_missing, examples=examples)
    date_format, guessed_date = values.date_format_of(present, READABLE_SHARE)
    if date_format:
        if guessed_date:
            notes.append(("WARN", f'column "{name}": dates like {examples[0]} are read as month/day/year'))
        read = values.any_dates(present, date_format)
        if _known_share(read) >= READABLE_SHARE:
            lenient = read.null_count() > 0
            return Column(
                name, "date", date_format=date_format, lenient=lenient, missing=has_missing, examples=examples
            )
    if _looks_numeric(present) and not _has_codes(present):
        plain = values.numbers(present)
        style, guessed = values.number_style(present, plain)
        read = plain if style == "plain" else values.numbers(present, style)
        if _known_share(read) >= READABLE_SHARE:
            if guessed:
                notes.append(
                    ("WARN", f'column "{name}": numbers like {examples[0]} are read with a comma for thousands')
                )
            return _number(name, values.numbers(text, style), style, text, lenient=read.null_count() > 0)
    return _text_or_category(name, present, distinct, has_missing, examples)


def _known_share(read: pl.Series) -> float:
    return 1 - read.null_count() / max(len(read), 1)


def _number(name: str, read: pl.Series, style: values.NumberStyle, cells: pl.Series, *, lenient: bool) -> Column:
    finite = read.filter(read.is_finite())
    has_missing = len(finite) < len(read)
    shown = cells.filter(read.is_finite().fill_null(False)).head(100).unique(maintain_order=True)[:EXAMPLES].to_list()
    examples = [values.label_of_number(value) if isinstance(value, (int, float)) else str(value) for value in shown]
    ignored = ""
    if not len(finite):
        ignored = "it holds no number"
    elif finite.min() == finite.max():
        ignored = "it is the same in every row"
    elif not has_missing and len(finite) >= ID_ROWS and _counts_rows(finite, name):
        ignored = "it numbers the rows"
    return Column(
        name,
        "ignored" if ignored else "number",
        style=style,
        lenient=lenient,
        missing=has_missing,
        reason=ignored,
        examples=examples,
    )


def _counts_rows(numbers: pl.Series, name: str) -> bool:
    """A running number, or an integer that differs in every row under a name that says identifier."""
    if not bool((numbers == numbers.round()).all()):
        return False
    steps = numbers.diff().drop_nulls()
    return bool((steps == 1).all()) or (_is_id_name(name) and numbers.n_unique() == len(numbers))


def _is_id_name(name: str) -> bool:
    lower = name.lower()
    return lower in ID_NAMES or lower.endswith(("_id", " id", "-id"))


def _looks_numeric(present: pl.Series) -> bool:
    """Whether a sample has mostly digits at the start of its values; saves the closer look at columns of words."""
    sample = present.sample(min(len(present), 1000), seed=0)
    return int(sample.str.contains(r"^[^\w]*\d").sum()) >= len(sample) / 2


def _has_codes(text: pl.Series) -> bool:
    """Whether there are codes such as 00123, whose zeros a number would lose."""
    return bool(text.head(10_000).str.contains(r"^0\d+$").any())


def _is_boolean(present: pl.Series) -> bool:
    words = [word.lower() for word in present.unique().to_list()] if present.head(100).n_unique() <= 4 else []
    spelled = set(words) - {"0", "1", "0.0", "1.0"}
    return bool(spelled) and 2 <= len(words) <= 4 and all(word in values.TRUE + values.FALSE for word in words)


def _text_or_category(name: str, present: pl.Series, distinct: int, has_missing: bool, examples: list[str]) -> Column:
    words = int(present.head(2000).str.count_matches(r"\S+").sum()) / min(len(present), 2000)
    many = distinct > max(TEXT_DISTINCT_SHARE * len(present), ID_ROWS)
    examples = [example[:200] for example in examples]
    if many and words >= TEXT_WORDS:
        return Column(name, "text", missing=has_missing, examples=examples)
    if len(present) >= ID_ROWS and (distinct == len(present) or (_is_id_name(name) and distinct > 0.9 * len(present))):
        return Column(name, "ignored", reason="it differs in every row", missing=has_missing, examples=examples)
    return Column(name, "category", missing=has_missing, examples=examples)
