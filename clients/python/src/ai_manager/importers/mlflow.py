"""MLflow: the folder `mlruns` of its file store, or a tracking server by its REST API. Experiments become projects."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ai_manager.errors import Refused, SettingsError, Unavailable
from ai_manager.importers import Point, Source

PAGE = 1000
TIMEOUT = 60.0
# The file store writes numbers, the server words.
_STATUSES = {
    "1": "running", "2": "pending", "3": "completed", "4": "failed", "5": "cancelled",
    "RUNNING": "running", "SCHEDULED": "pending", "FINISHED": "completed", "FAILED": "failed", "KILLED": "cancelled",
}  # fmt: skip


def runs(place: str) -> Iterator[Source]:
    """The runs of a server (an http address) or of a folder.

    Raises:
        SettingsError: neither.
        Unavailable, Refused: the server does not answer, or not as MLflow's would.
    """
    if place.startswith(("http://", "https://")):
        yield from _server_runs(place.rstrip("/"))
        return
    root = Path(place)
    if not any(root.glob("*/meta.yaml")):
        raise SettingsError(f"{place} is no folder of MLflow's file store: no experiment's meta.yaml is in it.")
    yield from _folder_runs(root)


def _source(identity: str, name: str, experiment: str, meta: dict[str, Any], **more: Any) -> Source:
    """`meta`: start_time and end_time in milliseconds, and status, as both stores have them."""
    status = _STATUSES.get(str(meta.get("status")), "completed")
    start, end = (float(meta.get(key) or 0) / 1000 or None for key in ("start_time", "end_time"))
    return Source(
        identity=f"mlflow:{identity}",
        name=name or identity,
        project=experiment,
        # Nobody goes on with it here.
        status=status if status in ("completed", "failed", "cancelled") else "failed",
        started_at=start,
        ended_at=end,
        **more,
    )


# --- The file store -------------------------------------------------------------------------------------------------


def _folder_runs(root: Path) -> Iterator[Source]:
    for experiment in sorted(root.glob("*/meta.yaml")):
        about = _meta(experiment)
        for file in sorted(experiment.parent.glob("*/meta.yaml")):
            meta, folder = _meta(file), file.parent
            if meta.get("lifecycle_stage") == "deleted" or not (folder / "metrics").is_dir():
                continue
            tags = {path.name: path.read_text() for path in (folder / "tags").glob("*") if path.is_file()}
            yield _source(
                meta.get("run_id") or folder.name,
                meta.get("run_name") or tags.get("mlflow.runName", ""),
                about.get("name") or experiment.parent.name,
                meta,
                points=_folder_points(folder / "metrics"),
                config={path.relative_to(folder / "params").as_posix(): _typed(path.read_text())
                        for path in sorted((folder / "params").rglob("*")) if path.is_file()},
                tags=_tags(tags),
            )  # fmt: skip


def _folder_points(folder: Path) -> Iterator[Point]:
    """A file a metric, of lines `time in ms, value, step`."""
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        with file.open() as lines:
            for line in lines:
                parts = line.split()
                if len(parts) >= 2:
                    step = int(parts[2]) if len(parts) > 2 else 0
                    yield Point(name, float(parts[1]), step, int(parts[0]) / 1000)


def _meta(file: Path) -> dict[str, str]:
    """The top level of a meta.yaml, which MLflow writes as one `key: value` a line."""
    found = {}
    for line in file.read_text().splitlines():
        key, colon, value = line.partition(":")
        if colon and not line.startswith((" ", "#", "-")):
            value = value.strip()
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            found[key] = value[1:-1] if quoted else "" if value in ("null", "~") else value
    return found


# --- The server -----------------------------------------------------------------------------------------------------


def _server_runs(url: str) -> Iterator[Source]:
    for experiment in _pages(url, "experiments/search", {}, "experiments"):
        search = {"experiment_ids": [experiment["experiment_id"]]}
        for run in _pages(url, "runs/search", search, "runs"):
            info, data = run["info"], run.get("data", {})
            yield _source(
                info["run_id"],
                info.get("run_name", ""),
                experiment["name"],
                info,
                points=_server_points(url, info["run_id"], [metric["key"] for metric in data.get("metrics", [])]),
                config={item["key"]: _typed(item["value"]) for item in data.get("params", [])},
                tags=_tags({item["key"]: item["value"] for item in data.get("tags", [])}),
            )


def _server_points(url: str, run_id: str, names: list[str]) -> Iterator[Point]:
    for name in names:
        token = ""
        while True:
            query = {"run_id": run_id, "metric_key": name, "max_results": PAGE}
            page = _call(f"{url}/api/2.0/mlflow/metrics/get-history?{urlencode({**query, 'page_token': token})}")
            for item in page.get("metrics", []):
                yield Point(name, float(item["value"]), int(item.get("step", 0)), int(item["timestamp"]) / 1000)
            token = page.get("next_page_token", "")
            if not token:
                break


def _pages(url: str, path: str, body: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    token = ""
    while True:
        asked = {**body, "max_results": PAGE, **({"page_token": token} if token else {})}
        page = _call(f"{url}/api/2.0/mlflow/{path}", asked)
        yield from page.get(key, [])
        token = page.get("next_page_token", "")
        if not token:
            return


def _call(address: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})  # noqa: S310 - runs() saw it
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
            return dict(json.loads(answer.read()))
    except OSError as error:
        raise Unavailable(f"{address} does not answer: {error}") from error
    except (ValueError, TypeError) as error:
        raise Refused(f"{address} does not answer as MLflow's server would.", status=200) from error


def _tags(tags: dict[str, str]) -> list[str]:
    """The user's own tags; a tag without a value is its name."""
    own = {key: value for key, value in tags.items() if not key.startswith("mlflow.")}
    return [f"{key}={value}" if value else key for key, value in sorted(own.items())]


def _typed(value: str) -> Any:
    """MLflow keeps parameters as text: a number is made one again."""
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return {"True": True, "False": False, "None": None}.get(value, value)
