"""The first rows of a data set, for its page and for those who ask for them."""

from itertools import islice
from pathlib import Path
from typing import Any

from automl_site.errors import DatasetError
from datasets_app import images, paths, tables
from datasets_app.analysis import LINES, json_value
from datasets_app.models import Dataset
from trainers import records
from trainers.tabular.values import MISSING, TRUE

MAX_CELL_CHARACTERS = 100_000  # of a value in a file whose values may be as long as a novel
FIRST_BLOCK_BYTES = 256 * 1024  # read first; more only where the rows are longer


def first_rows(*, dataset: Dataset, limit: int) -> list[dict[str, Any]]:
    """The first `limit` rows, as JSON has them; missing values are None. Raises DatasetError, StorageError."""
    path = paths.of_dataset(dataset).local()
    if dataset.format in images.FORMATS:
        return images.first_rows(path, filename=dataset.filename, format=dataset.format, limit=limit)
    if dataset.format == Dataset.Format.PARQUET:
        with tables.open_parquet(path, filename=dataset.filename) as file:
            return _parquet_rows(file, dataset, limit)
    if dataset.format == Dataset.Format.TXT:
        return _lines(path, dataset, limit)
    if dataset.format in (Dataset.Format.JSON, Dataset.Format.JSONL):
        return _json_rows(path, dataset, limit)
    dialect = tables.CsvDialect(names=dataset.columns, **dataset.analysis["dialect"])
    kinds = [dataset.schema[name]["kind"] for name in dataset.columns]
    for block_bytes in (FIRST_BLOCK_BYTES, tables.BLOCK_BYTES):
        rows: list[dict[str, Any]] = []
        try:
            for batch in tables.csv_batches(path, dialect, filename=dataset.filename, block_bytes=block_bytes):
                columns = [column.to_pylist() for column in batch.slice(0, limit - len(rows)).columns]
                for values in zip(*columns, strict=True):
                    typed = map(_typed, values, kinds)
                    rows.append(dict(zip(dataset.columns, typed, strict=True)))
                if len(rows) >= limit:
                    break
            return rows
        except DatasetError:
            if block_bytes == tables.BLOCK_BYTES:
                raise
    return []


def _lines(path: Path, dataset: Dataset, limit: int) -> list[dict[str, Any]]:
    encoding = dataset.analysis["dialect"]["encoding"]
    batches = tables.line_batches(path, encoding=encoding, filename=dataset.filename)
    lines = (line for batch in batches for line in batch.to_pylist())
    return [{LINES: json_value(line, max_characters=MAX_CELL_CHARACTERS)} for line in islice(lines, limit)]


def _json_rows(path: Path, dataset: Dataset, limit: int) -> list[dict[str, Any]]:
    encoding = dataset.analysis["dialect"]["encoding"]
    batches = tables.json_batches(path, encoding=encoding, filename=dataset.filename, rows=limit)
    columns = list(next(batches, {}).values())
    # A column that only comes in later rows has no value in these.
    columns += [[None] * limit] * (len(dataset.columns) - len(columns))
    nested = [dataset.schema[name]["kind"] == "nested" for name in dataset.columns]

    def shown(value: Any) -> Any:
        return json_value(records.clean(value), max_characters=MAX_CELL_CHARACTERS) if isinstance(value, str) else value

    return [
        {
            name: "(nested)" if is_nested else json_value(shown(value))
            for name, is_nested, value in zip(dataset.columns, nested, row, strict=True)
        }
        for row in zip(*columns, strict=False)
    ]


def _parquet_rows(file: Any, dataset: Dataset, limit: int) -> list[dict[str, Any]]:
    positions = {file.schema_arrow.names.index(name): name for name in tables.plain_columns(file)}
    rows: list[dict[str, Any]] = []
    for batch in islice(tables.parquet_batches(file, filename=dataset.filename, max_rows=limit), limit):
        for row in batch.slice(0, limit - len(rows)).to_pylist():
            rows.append(
                {
                    name: json_value(row[positions[index]]) if index in positions else "(nested)"
                    for index, name in enumerate(dataset.columns)
                }
            )
        if len(rows) >= limit:
            break
    return rows


def _typed(text: str, kind: str) -> Any:
    """A CSV cell as its column's kind has it; one that does not fit the kind stays text."""
    trimmed = text.strip()
    if trimmed.lower() in MISSING:
        return None
    try:
        if kind == "integer":
            return int(trimmed)
        if kind == "number":
            return json_value(float(trimmed))
    except ValueError:
        return text
    if kind == "boolean":
        return trimmed.lower() in TRUE
    return text
