"""The calls of the tracking contract that the client makes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from ai_manager.api import Api
from ai_manager.errors import Refused

PAGE = 1000
DIRECT_BYTES = 8 << 20  # files up to this size are sent as one request
PIECE_BYTES = 4 << 20
PIECE_SECONDS = 120.0  # a slow line may take so long for one piece
COMPLETE_SECONDS = 600.0  # the server reads the whole file once more
COMPLETE_POLL_SECONDS = 1.0
_LINKED_BYTES = 64 << 10  # below that, asking whether the server has it costs more than sending it
_BYTES, _OFFSET, _DIGEST = "application/octet-stream", "Upload-Offset", "X-Content-SHA256"
# The run's own config carries it, so that a run whose creation was never answered is found again.
# Says that this run is logged by a process that beats, and after how many seconds of silence it may be taken for dead.
HEARTBEAT_HEADER = "X-Run-Heartbeat"
HEARTBEAT_SECONDS = 30.0
SILENCE_SECONDS = 120
SYSTEM_PREFIX = "system/"  # series of the machine, whose steps count samples
_FEW_POINTS = 5  # the fewest that a history can be cut down to; the last one is among them
_LOOKED_AT = 50  # of the newest runs with the same name
# Fields of a run that the document does not show. A server without them is asked again without them.
_EXTENSIONS = ("status_reason", "started_at")


def points_post(api: Api, run_id: int, key: str, series: Mapping[str, Any], *, heartbeat: bool) -> None:
    """Store points, once for each idempotency key. NaN and infinities go as Python's literals."""
    headers = {"Idempotency-Key": key}
    if heartbeat:
        headers[HEARTBEAT_HEADER] = str(SILENCE_SECONDS)
    body = json.dumps({"series": series}, separators=(",", ":")).encode()
    api.call("POST", f"/metrics/{run_id}/batch", body, headers=headers)


def beat(api: Api, run_id: int) -> bool:
    """Say that an idle run is alive: an empty batch, since `/metrics` has the widest rate limit. True: it was taken."""
    api.call("POST", f"/metrics/{run_id}/batch", {"series": {}}, headers={HEARTBEAT_HEADER: str(SILENCE_SECONDS)})
    return True


def run_update(api: Api, run_id: int, fields: Mapping[str, Any]) -> Any:
    """Change fields of a run."""
    try:
        return api.call("PUT", f"/runs/{run_id}", dict(fields))
    except Refused as error:
        documented = {name: value for name, value in fields.items() if name not in _EXTENSIONS}
        if error.status != 400 or len(documented) == len(fields):
            raise
        return api.call("PUT", f"/runs/{run_id}", documented) if documented else None


def run_get(api: Api, run_id: int) -> dict[str, Any]:
    """One run."""
    return dict(api.call("GET", f"/runs/{run_id}"))


def next_steps(api: Api, run_id: int) -> tuple[int, int]:
    """One more than the last step of any of the run's series, and of those of the machine; 0 without any."""
    training, system = [-1], [-1]
    asked = 0
    for item in api.call("GET", f"/metrics/{run_id}/summary"):
        steps = system if item["name"].startswith(SYSTEM_PREFIX) else training
        if "next_step" in item:
            steps.append(int(item["next_step"]) - 1)
        elif asked < _LOOKED_AT:  # a server that keeps to the document: a call a series
            asked += 1
            path = f"/metrics/{run_id}/history/{quote(item['name'])}?max_points={_FEW_POINTS}"
            steps += api.call("GET", path)["steps"]
    return max(training) + 1, max(system) + 1


def run_create(api: Api, run: Mapping[str, Any], *, look_first: bool, timeout: float | None = None) -> dict[str, Any]:
    """The run of `run` (see Outbox), made on the server, in its project, which is made too if need be.

    `look_first`: an earlier attempt may have made it; it is recognised by its uid.
    """
    project_id = run.get("project_id") or project_find_or_create(api, run["project"], timeout=timeout)
    body = run["body"]
    if look_first and (found := run_find(api, project_id, body["name"], run["uid"])):
        return {**found, "project_id": project_id}
    path = f"/runs/?{urlencode({'project_id': project_id})}"
    made = api.call("POST", path, body, headers={"Idempotency-Key": run["uid"]}, timeout=timeout)
    if not isinstance(made, dict) or not isinstance(made.get("id"), int):
        raise Refused(f"POST {path} was answered without an id of the run.", status=200)
    return {**made, "project_id": project_id}


def run_find(api: Api, project_id: int, name: str, uid: str) -> dict[str, Any] | None:
    """The run of that uid (`Outbox.run`) among the newest of that name, or None."""
    looked_at = 0
    for item in pages(api, f"/runs/?project_id={project_id}"):
        if item.get("name") != name.strip():
            continue
        kept = api.call("GET", f"/runs/{item['id']}/environment")
        if kept["environment"].get("uid") == uid:
            return run_get(api, item["id"])
        looked_at += 1
        if looked_at >= _LOOKED_AT:
            break
    return None


def project_find_or_create(api: Api, name: str, *, timeout: float | None = None) -> int:
    """The id of the user's own project of that name (the oldest, if there are several); made when there is none."""
    wanted = name.strip()
    same_name = [project for project in pages(api, "/projects/") if project["name"] == wanted]
    if same_name:
        me = api.call("GET", "/auth/me", timeout=timeout)["id"]
        own = [project["id"] for project in same_name if project["owner_id"] == me]
        if own:
            return int(min(own))
    return int(api.call("POST", "/projects/", {"name": wanted}, timeout=timeout)["id"])


def run_id_of(api: Api, run: Mapping[str, Any]) -> int | None:
    """The id of a run that an earlier process began (see Outbox), by its uid; None while it is not on the server."""
    project_id = run.get("project_id")
    if project_id is None:
        name = str(run.get("project", "")).strip()
        found = [project["id"] for project in pages(api, "/projects/") if project["name"] == name]
        if not found:
            return None
        project_id = min(found)
    known = run_find(api, int(project_id), str(run["body"]["name"]), str(run["uid"]))
    return int(known["id"]) if known else None


def file_send(
    api: Api, run_id: int, path: str, source: Path, *, size: int, sha256: str, moved: Callable[[], None]
) -> None:
    """Make `source` the run's file `path`. Bytes that the project has are not sent; many bytes go in pieces.

    May be called again after it has failed: it goes on where it was. `moved` is called after each piece.

    Raises:
        Unavailable, Refused, OSError (of the source).
    """
    if size > _LINKED_BYTES and _file_link(api, run_id, path, sha256):
        return
    if size <= DIRECT_BYTES:
        headers = {"Content-Type": _BYTES, _DIGEST: sha256}
        api.call("PUT", f"/runs/{run_id}/artifacts/{quote(path)}", source.read_bytes(), headers=headers)
        return
    upload = api.call("POST", f"/runs/{run_id}/uploads", {"path": path, "size": size, "sha256": sha256})
    place = f"/runs/{run_id}/uploads/{upload['id']}"
    most = min(int(upload["max_piece"]), max(int(upload["min_piece"]), PIECE_BYTES))
    with source.open("rb") as data:
        while (offset := int(upload["offset"])) < size:
            data.seek(offset)
            upload = _piece_send(api, place, data.read(min(most, size - offset)), offset)
            moved()
    try:
        # While the server still reads the file, the answer is the upload and not the file.
        while "offset" in api.call("POST", f"{place}/complete", timeout=COMPLETE_SECONDS):
            moved()
            time.sleep(COMPLETE_POLL_SECONDS)
    except Refused as error:
        # An earlier `complete` may have been carried out and its answer lost.
        if error.status != 404 or not _file_link(api, run_id, path, sha256):
            raise


def _piece_send(api: Api, place: str, piece: bytes, offset: int) -> Any:
    """Send one piece; the upload as it is then, also where the piece had arrived before."""
    headers = {"Content-Type": _BYTES, _OFFSET: str(offset), _DIGEST: hashlib.sha256(piece).hexdigest()}
    try:
        return api.call("PATCH", place, piece, headers=headers, timeout=PIECE_SECONDS)
    except Refused as error:
        if error.status != 400:
            raise
        upload = api.call("GET", place)
        if int(upload["offset"]) == offset:
            raise
        return upload


def _file_link(api: Api, run_id: int, path: str, sha256: str) -> bool:
    """Name bytes that the project has already; False: it has not."""
    try:
        api.call("POST", f"/runs/{run_id}/artifacts", {"path": path, "sha256": sha256})
    except Refused as error:
        if error.status == 404:
            return False
        raise
    return True


def pages(api: Api, path: str) -> Iterator[dict[str, Any]]:
    """All items of a list."""
    skip, mark = 0, "&" if "?" in path else "?"
    while True:
        page = api.call("GET", f"{path}{mark}skip={skip}&limit={PAGE}")
        yield from page
        skip += len(page)
        if len(page) < PAGE:
            return
