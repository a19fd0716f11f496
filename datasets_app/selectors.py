"""Reads of data sets. All go through `visible_to`."""

from itertools import islice
from typing import Any

from django.core.paginator import Page, Paginator

from automl_site.errors import DatasetError, NotFound
from datasets_app import paths, tables
from datasets_app.analysis import json_value
from datasets_app.models import Dataset
from datasets_app.querysets import DatasetQuerySet
from trainers.tabular.values import MISSING, TRUE

PAGE_SIZE = 25
PREVIEW_BLOCK_BYTES = 256 * 1024  # read for a preview first; more only where the rows are longer


def dataset_get(*, user: Any, public_id: str) -> Dataset:
    """A data set that is not in the trash. Raises NotFound."""
    return _one(Dataset.objects.live(), user, public_id)


def dataset_get_trashed(*, user: Any, public_id: str) -> Dataset:
    """A data set that is in the trash. Raises NotFound."""
    return _one(Dataset.objects.filter(deleted_at__isnull=False), user, public_id)


def _one(datasets: DatasetQuerySet, user: Any, public_id: str) -> Dataset:
    dataset = None
    if paths.DATASET_ID.fullmatch(public_id):
        dataset = datasets.visible_to(user).select_related("blob", "owner").filter(public_id=public_id).first()
    if dataset is None:
        raise NotFound(f"There is no data set {public_id[:50]}.")
    return dataset


def dataset_list(
    *, user: Any, q: str = "", page: str | int | None = 1, page_size: int = PAGE_SIZE, trashed: bool = False
) -> Page:
    """One page of the user's data sets, newest first, whose name or id holds `q`; the nearest if out of range."""
    # What was found in each column can be megabytes; a list does not show it.
    datasets = (
        Dataset.objects.filter(deleted_at__isnull=not trashed)
        .visible_to(user)
        .select_related("owner")
        .defer("schema", "analysis")
    )
    text = q.replace("\0", "").strip()
    if text:
        datasets = datasets.filter(filename__icontains=text) | datasets.filter(public_id__icontains=text)
    return Paginator(datasets, page_size).get_page(page)


def preview(*, dataset: Dataset, limit: int) -> list[dict[str, Any]]:
    """The first `limit` rows, as JSON has them; missing values are None. Raises DatasetError, StorageError."""
    path = paths.of_dataset(dataset).local()
    if dataset.format == Dataset.Format.PARQUET:
        with tables.open_parquet(path, filename=dataset.filename) as file:
            return _parquet_rows(file, dataset, limit)
    dialect = tables.CsvDialect(names=dataset.columns, **dataset.analysis["dialect"])
    kinds = [dataset.schema[name]["kind"] for name in dataset.columns]
    for block_bytes in (PREVIEW_BLOCK_BYTES, tables.BLOCK_BYTES):
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


def columns(*, dataset: Dataset) -> list[dict[str, Any]]:
    """[{"name", "kind", "dtype", "missing", "distinct", "examples"}] in file order."""
    return [{"name": name, **dataset.schema[name]} for name in dataset.columns]
