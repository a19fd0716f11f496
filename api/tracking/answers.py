"""The bodies that a view and the short way around it both answer with."""

from typing import Any

import numpy as np

from api.base.fields import naive_utc
from api.tracking.streams import json_numbers, json_times
from tracking import store
from tracking.selectors.run_pages import ListedRun


def run_item(run: ListedRun) -> dict[str, Any]:
    """A run in a list (TrackingRunItemOut)."""
    return {
        "id": run.id,
        "name": run.name,
        "status": run.status,
        "started_at": naive_utc(run.started_at),
        "ended_at": naive_utc(run.ended_at),
        "tags": run.tags,
        "project_id": run.project_id,
        "archived": run.archived_at is not None,
    }


def history(name: str, columns: store.Columns) -> dict[str, Any]:
    """A metric's history (TrackingHistoryOut); the renderer writes arrays four times as fast as lists."""
    return {
        "name": name,
        "values": json_numbers(columns.values),
        "steps": np.ascontiguousarray(columns.steps),
        "timestamps": json_times(columns.times),
    }
