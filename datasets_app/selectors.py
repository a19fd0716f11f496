"""Reads of data sets. All go through `visible_to`."""

import os
from itertools import islice
from typing import Any

from django.conf import settings
from django.core.paginator import Page, Paginator

from automl_site.errors import NotFound
from datasets_app import paths
from datasets_app.models import Dataset
from datasets_app.querysets import DatasetQuerySet

PAGE_SIZE = 25
MAX_SHARED, MAX_SHARED_SEEN = 100, 2000  # entries of the data root that are offered, that are looked at


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


def shared_entries(limit: int = MAX_SHARED) -> list[str]:
    """What the operator has laid into the data root for all, as callers name it: "/data/digits.zip", "/data/trees/"."""
    try:
        with os.scandir(settings.FILES_ROOT) as entries:
            found = [
                f"/data/{entry.name}{'/' if entry.is_dir() else ''}"
                for entry in islice(entries, MAX_SHARED_SEEN)
                if entry.name.casefold() not in paths.OWNED_FOLDERS and not entry.name.startswith(".")
            ]
    except OSError:  # no data root yet, or not at the moment: there is nothing to offer
        return []
    return sorted(found)[:limit]


def preview(*, dataset: Dataset, limit: int) -> list[dict[str, Any]]:
    """The first `limit` rows, as JSON has them; missing values are None. Raises DatasetError, StorageError."""
    # Imported here: it brings Arrow and polars, which take as long to load as all the rest of a web process.
    from datasets_app.preview import first_rows

    return first_rows(dataset=dataset, limit=limit)


def columns(*, dataset: Dataset) -> list[dict[str, Any]]:
    """[{"name", "kind", "dtype", "missing", "distinct", "examples"}] in file order."""
    return [{"name": name, **dataset.schema[name]} for name in dataset.columns]
