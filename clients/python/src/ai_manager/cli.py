"""The command `ai_manager`."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from ai_manager.api import Api, Credentials
from ai_manager.errors import AIManagerError
from ai_manager.importers import Source, import_runs, mlflow, tensorboard, wandb
from ai_manager.manager import AIManager
from ai_manager.settings import DEFAULT_URL, Settings, clean_url
from ai_manager.sync import sync, sync_files
from ai_manager.version import __version__

# What a script may rely on: everything was sent; something is left and may be sent later; something was refused.
SENT, LEFT, REFUSED = 0, 1, 3
LEFT_STATES = ("away", "busy", "elsewhere")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except AIManagerError as error:
        print(f"ai_manager: {error}", file=sys.stderr)
        return LEFT
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ai_manager", description="Experiment tracking for the AutoML platform.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    syncing = commands.add_parser("sync", help="send what runs have left on disk while the server was away")
    syncing.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="default: the spool of this user")
    syncing.add_argument("--any-server", action="store_true", help="also what was meant for another address")
    syncing.add_argument("--patience", type=float, default=60.0, metavar="SECONDS", help="default: 60")
    _add_server(syncing)
    syncing.set_defaults(command=_sync)

    importing = commands.add_parser("import", help="log the runs of another tracker")
    importing.add_argument("kind", choices=["tensorboard", "mlflow", "wandb"])
    importing.add_argument("place", help="a folder or file; for mlflow also a server's address")
    importing.add_argument("--project", default="", help="into this project; default: as the source calls it")
    _add_server(importing)
    importing.set_defaults(command=_import)
    return parser


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--api-url", help=f"default: $AI_MANAGER_API_URL, or {DEFAULT_URL}")
    parser.add_argument("--username", help="default: $AI_MANAGER_USERNAME; the password is asked for, or taken from "
                        "$AI_MANAGER_PASSWORD; $AI_MANAGER_API_KEY serves instead of both")  # fmt: skip


def api_of(options: argparse.Namespace) -> Api:
    """The server that the options and the environment name.

    Raises:
        SettingsError: no such address.
    """
    url = clean_url(options.api_url or os.environ.get("AI_MANAGER_API_URL", "") or DEFAULT_URL)
    key = "" if options.username else os.environ.get("AI_MANAGER_API_KEY", "")
    username = options.username or os.environ.get("AI_MANAGER_USERNAME", "")
    password = os.environ.get("AI_MANAGER_PASSWORD", "")
    if username and not key and not password and sys.stdin.isatty():
        password = getpass.getpass(f"Password of {username}: ")
    return Api(url, Credentials(api_key=key, username=username, password=password))


def _sync(options: argparse.Namespace) -> int:
    settings = Settings.from_environment()
    root = options.folder or settings.spool_root()
    settings = replace(settings, folder=root)
    states, api = [], api_of(options)
    how = {"any_server": options.any_server, "patience": options.patience}
    for synced in chain(sync(root, api, settings, **how), sync_files(root, api, **how)):
        run = f" run {synced.run_id}" if synced.run_id is not None else ""
        detail = f": {synced.detail}" if synced.detail else ""
        print(f"{synced.state:<10} {synced.folder.name}{run}{detail}")
        states.append(synced.state)
    if not states:
        print(f"Nothing waits in {root}.")
    if any(state in LEFT_STATES for state in states):
        return LEFT
    return REFUSED if any(state != "sent" for state in states) else SENT


def _import(options: argparse.Namespace) -> int:
    api = api_of(options)
    managers: dict[str, AIManager] = {}

    def manager_for(project: str) -> AIManager:
        if project not in managers:
            given = api.credentials
            managers[project] = AIManager(
                project,
                api.url,
                given.username or None,
                given.password or None,
                api_key=given.api_key or None,
                system_metrics=0,
                capture=False,
            )
        return managers[project]

    found: dict[str, Callable[[], Iterator[Source]]] = {
        "tensorboard": lambda: tensorboard.runs(Path(options.place)),
        "mlflow": lambda: mlflow.runs(options.place),
        "wandb": lambda: wandb.runs(Path(options.place)),
    }
    states = []
    for done in import_runs(found[options.kind](), manager_for, project=options.project):
        print(f"{done.state:<10} {done.source.name}: run {done.run_id}, {done.points} points")
        states.append(done.state)
    if not states:
        print(f"No runs were found in {options.place}.")
    return LEFT if not states or "unfinished" in states else SENT
