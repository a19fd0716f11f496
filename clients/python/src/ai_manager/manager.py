"""The entrance: who logs, where to, and into which project."""

from __future__ import annotations

import itertools
import os
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ai_manager import calls, values
from ai_manager.api import Api, Credentials
from ai_manager.capture import captured
from ai_manager.errors import AuthenticationError, Refused, SettingsError, Unavailable
from ai_manager.notices import logger, say, warn_once
from ai_manager.outbox import Outbox
from ai_manager.run import Run, iso
from ai_manager.sender import Sender, sender_for
from ai_manager.settings import DEFAULT_URL, MODES, Settings, clean_url
from ai_manager.sync import outboxes_left
from ai_manager.system import monitor

START_SECONDS = 5.0  # the server may take so long for each of the two to four calls that begin a run
MAX_NAME = 200


class AIManager:
    """Logs runs into one project of one server.

        manager = AIManager("my_project", "http://localhost:8000", username="user", password="pass")
        with manager.run(name="training_run") as run:
            run.log({"loss": 0.5, "accuracy": 0.85}, step=0)

    What is left out comes from the environment (`ai_manager.settings`). Making a manager asks the server nothing.
    """

    def __init__(
        self,
        project_name: str | None = None,
        api_url: str | None = None,
        username: str | None = None,
        password: str | None = None,
        *,
        api_key: str | None = None,
        project_id: int | None = None,
        mode: str | None = None,
        spool_dir: None | str | Path = None,
        system_metrics: float | None = None,
        capture: bool | None = None,
    ) -> None:
        """
        Args:
            project_name: found among the user's own projects, else made.
            api_key: instead of a user name and a password.
            project_id: a project by its id instead of its name: somebody else's, for example.
            mode: `online`, `offline` (all goes to the disk, for `ai_manager sync`), `disabled` (nothing is kept).
            spool_dir: folder for what could not be sent yet.
            system_metrics: interval of `system/…` in seconds; 0 for none.
            capture: whether environment and git are noted.

        Raises:
            SettingsError: something is missing or cannot be; the message names it.
        """
        settings = Settings.from_environment()
        if mode is not None:
            if mode not in MODES:
                raise SettingsError(f"mode is '{mode}', which is not one of {', '.join(MODES)}.")
            settings = replace(settings, mode=mode)
        if spool_dir is not None:
            settings = replace(settings, folder=Path(spool_dir))
        if system_metrics is not None:
            settings = replace(settings, system_seconds=float(system_metrics))
        if capture is not None:
            settings = replace(settings, capture=capture)
        self.settings = settings
        self.project_name = (project_name or os.environ.get("AI_MANAGER_PROJECT", "")).strip()
        self.project_id = project_id
        if not self.project_name and project_id is None:
            raise SettingsError("A project is missing: give project_name, or set AI_MANAGER_PROJECT.")
        if len(self.project_name) > MAX_NAME:
            raise SettingsError(f"The project's name has {len(self.project_name)} characters; {MAX_NAME} are allowed.")
        self.api_url = clean_url(api_url or os.environ.get("AI_MANAGER_API_URL", "") or DEFAULT_URL)
        self.credentials = _credentials(username, password, api_key)
        if not self.credentials and settings.mode == "online":
            raise SettingsError(
                "Credentials are missing: give username and password, or api_key, or set AI_MANAGER_API_KEY."
            )

    @property
    def api(self) -> Api:
        """The server, for calls that this class has no method for: `manager.api.call("GET", "/runs/")`."""
        return self._sender().api

    def run(
        self,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
        tags: Iterable[str] = (),
        *,
        id: int | None = None,  # noqa: A002 - what everybody calls it
        uid: str | None = None,
    ) -> Run:
        """Begin a run; with `id`, go on with that one: its steps go on where they ended.

        `uid`: by which the run is recognised when it is begun twice; made up if left out.

        When the server is away the run begins all the same; it is made on the server once that answers.

        Raises:
            AuthenticationError: the credentials are wrong. (Later, during the training, nothing is raised.)
            Refused: the server does not take the name, config or tags; or has no such run.
        """
        if isinstance(tags, str):
            tags = [tags]
        body = {
            "name": values.text((name or _made_up_name()).strip() or _made_up_name(), MAX_NAME),
            "config": values.jsonable(dict(config or {})),
            "tags": [values.text(str(tag), MAX_NAME) for tag in tags],
        }
        record: dict[str, Any] = {
            "uid": uid or uuid.uuid4().hex,
            "api_url": self.api_url,
            "account": self.credentials.account,
            "project": self.project_name,
            "project_id": self.project_id,
            "started_at": iso(time.time()),
            "id": id,
            "body": body,
        }
        if self.settings.mode == "disabled":
            outbox = Outbox(run=record, root=self.settings.spool_root(), spool_limit=0, keeps=False)
            return Run(sender=None, outbox=outbox, config=config or {}, tags=tags)
        sender = self._sender()
        first_steps = (0, 0)
        if id is None:
            body |= captured() if self.settings.capture else {}
            body["environment"] = {**body.get("environment", {}), "uid": record["uid"]}
            self._make(sender, record)
        else:
            known, first_steps = self._look_up(sender, id)
            body["name"] = known.get("name", body["name"])
            config, tags = {**(known.get("config") or {}), **dict(config or {})}, list(tags) or known.get("tags", [])
        outbox = Outbox(run=record, root=self.settings.spool_root(), spool_limit=self.settings.spool_limit)
        run = Run(
            sender=sender,
            outbox=outbox,
            config=dict(config or {}),
            tags=tags,
            files_limit=self.settings.files_limit,
            first_step=first_steps[0],
            first_system_step=first_steps[1],
        )
        if id is not None:
            outbox.update(status="running")
        sender.add(outbox)
        if self.settings.system_seconds:
            monitor.watch(run, seconds=self.settings.system_seconds)
        if run.url:
            say(f"Run '{run.name}' is shown at {run.url}")
        return run

    def flush(self, timeout: float = 30.0) -> bool:
        """Send what all runs of this server and account have logged; True when it is all there within `timeout` s."""
        sender = self._sender()
        return sender.wait(list(sender.outboxes), timeout=timeout)

    # --- Beginning --------------------------------------------------------------------------------------------------

    def _sender(self) -> Sender:
        settings = self.settings
        return sender_for(
            self.api_url,
            self.credentials,
            flush_seconds=settings.flush_seconds,
            exit_seconds=settings.exit_seconds,
            offline=settings.mode == "offline",
        )

    def _make(self, sender: Sender, record: dict[str, Any]) -> None:
        """Make the run on the server, or leave that to the background thread when the server is away."""
        if sender.offline:
            return
        if not sender.is_away:
            try:
                made = calls.run_create(sender.api, record, look_first=False, timeout=START_SECONDS)
            except AuthenticationError:
                raise
            except Unavailable as error:
                record["uncertain"] = error.sent
                warn_once(
                    (self.api_url, "start"), f"{error}. The run begins; it is made on the server when that answers."
                )
            else:
                record["id"], record["project_id"] = made["id"], made["project_id"]
                self.project_id = made["project_id"]
                for outbox in outboxes_left(sender.api, self.settings):
                    sender.add(outbox)
                sender.files.take_over(self.settings.spool_root())
                return
        record["late"] = True

    def _look_up(self, sender: Sender, run_id: int) -> tuple[dict[str, Any], tuple[int, int]]:
        """The run and its next steps (training's, machine's); nothing and 0 while the server is away."""
        if sender.offline:
            return {}, (0, 0)
        try:
            return calls.run_get(sender.api, run_id), calls.next_steps(sender.api, run_id)
        except (AuthenticationError, Refused):
            raise
        except Unavailable as error:
            logger.debug("resuming without the server", exc_info=True)
            warn_once((self.api_url, "resume"), f"{error}. The run goes on; give `step` to be sure of its steps.")
            return {}, (0, 0)


_counter = itertools.count(1)


def _made_up_name() -> str:
    return f"run-{time.strftime('%Y%m%d-%H%M%S')}-{next(_counter)}"


def _credentials(username: str | None, password: str | None, api_key: str | None) -> Credentials:
    """What was given; else what the environment has, an API key first."""
    if api_key or username:
        return Credentials(api_key=api_key or "", username=username or "", password=password or "")
    environment = os.environ
    return Credentials(
        api_key=environment.get("AI_MANAGER_API_KEY", ""),
        username=environment.get("AI_MANAGER_USERNAME", ""),
        password=environment.get("AI_MANAGER_PASSWORD", ""),
    )
