"""Sending what earlier processes have left on disk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai_manager.api import Api
from ai_manager.errors import Refused, Throttled, Unavailable
from ai_manager.files import Waiting, left
from ai_manager.notices import warn_once
from ai_manager.outbox import Outbox
from ai_manager.settings import Settings
from ai_manager.spool import REFUSED, Spool, SpoolBusy, folders

MAX_LEFT = 50  # folders that a process takes over beside its own runs; `ai_manager sync` takes all
ABANDONED = "The process ended without ending the run"


@dataclass(frozen=True)
class Synced:
    """What became of one folder. `state`: sent, busy, unreadable, elsewhere (another server's), away, refused."""

    folder: Path
    state: str
    run_id: int | None = None
    detail: str = ""


def outbox_from(spool: Spool) -> Outbox:
    """The outbox of a folder that a process has left."""
    if spool.run.get("id") is None and not spool.run.get("ended"):
        # It never reached the server, and nobody is left to end it.
        spool.append({"update": {"status": "failed", "status_reason": ABANDONED}}, force=True)
        spool.name_run(ended=True)
    outbox = Outbox(run=spool.run, root=spool.folder.parent, spool_limit=spool.limit, spool=spool, heartbeat=False)
    outbox.ended = True  # so that it is let go of once it is sent
    return outbox


def outboxes_left(api: Api, settings: Settings) -> Iterator[Outbox]:
    """What earlier processes have left for the same server and account, to be sent by this one's thread."""
    for folder in folders(settings.spool_root())[:MAX_LEFT]:
        try:
            spool = Spool.open(folder, limit=settings.spool_limit)
        except (OSError, ValueError):
            continue
        if spool.run.get("api_url") != api.url or spool.run.get("account") != api.credentials.account:
            spool.close()
        elif spool.is_empty and (folder / REFUSED).exists():
            spool.close()  # only what the server would not take: a person must look at it
        else:
            yield outbox_from(spool)


def sync(
    root: Path, api: Api, settings: Settings, *, any_server: bool = False, patience: float = 60.0
) -> Iterator[Synced]:
    """Send every run's folder under `root`, and tell of each what became of it.

    `any_server`: also what was meant for another address (the platform has moved). `patience`: seconds for which a
    server that does not answer, or limits the rate, is asked again before a run is left for later.
    """
    for folder in folders(root):
        try:
            spool = Spool.open(folder, limit=settings.spool_limit)
        except SpoolBusy:
            yield Synced(folder, "busy", detail="a running process sends it")
            continue
        except (OSError, ValueError) as error:
            yield Synced(folder, "unreadable", detail=str(error))
            continue
        if spool.run.get("api_url") != api.url:
            if not any_server:
                spool.close()
                yield Synced(folder, "elsewhere", detail=f"it is for {spool.run.get('api_url')}")
                continue
            _move(spool, api.url)
        yield _send(outbox_from(spool), api, patience)


def sync_files(root: Path, api: Api, *, any_server: bool = False, patience: float = 60.0) -> Iterator[Synced]:
    """The same for the files of runs, once the runs are on the server."""
    for file in left(root):
        if file.run.get("api_url") != api.url and not any_server:
            file.close()
            yield Synced(file.folder, "elsewhere", detail=f"it is for {file.run.get('api_url')}")
            continue
        if file.run.get("api_url") != api.url:
            file.run.update(id=None, project_id=None)  # ids of the old server mean nothing there
        yield _send_file(file, api, patience)


def _send_file(file: Waiting, api: Api, patience: float) -> Synced:
    deadline = time.monotonic() + patience

    def moved() -> None:
        nonlocal deadline
        deadline = time.monotonic() + patience

    while True:
        try:
            if not file.send(api, moved):
                file.close()
                return Synced(file.folder, "away", detail="its run is not on the server yet")
        except Unavailable as error:
            wait = error.retry_after or 1.0
            if time.monotonic() + wait > deadline:
                file.close()
                return Synced(file.folder, "away", file.run.get("id"), str(error))
            time.sleep(wait)
        except (Refused, OSError) as error:
            file.refuse(str(error))
            return Synced(file.folder, "refused", file.run.get("id"), f"see {file.folder}")
        else:
            file.remove()
            return Synced(file.folder, "sent", file.run.get("id"), file.path)


def _move(spool: Spool, url: str) -> None:
    """To another server: ids of the old one mean nothing there, unless it is the same under another name."""
    spool.name_run(api_url=url)


def _send(outbox: Outbox, api: Api, patience: float) -> Synced:
    folder = outbox.folder or outbox.root
    deadline = time.monotonic() + patience
    problem: Any = ""
    try:
        while not outbox.is_empty and not outbox.stuck:
            try:
                outbox.send(api, all_of_it=True)
            except Unavailable as error:
                wait = error.retry_after or 1.0
                if time.monotonic() + wait > deadline:
                    problem = error
                    break
                if not isinstance(error, Throttled):
                    warn_once((api.url, "sync"), f"{error}. Trying again for {patience:.0f} s.")
                time.sleep(wait)
    finally:
        outbox.close()
    if outbox.stuck or outbox.dropped:
        return Synced(folder, "refused", outbox.run_id, f"see {folder}")
    return Synced(folder, "away" if problem else "sent", outbox.run_id, str(problem))
