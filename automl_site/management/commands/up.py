"""`manage.py up`: the whole platform from nothing, or one of its roles on another machine."""

import os
import shutil
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError, CommandParser

from automl_site.exits import exit_now
from automl_site.supervisor.log import Log
from automl_site.supervisor.platform import ROLES, CannotStart, FolderLock, Order, Platform, listen
from automl_site.supervisor.reload import CodeWatch
from jobs.routing import QUEUES

LEAST_FREE_BYTES = 200 * 1024 * 1024


def address(text: str) -> tuple[str, int]:
    """ "127.0.0.1:8000" -> ("127.0.0.1", 8000); a host alone takes port 8000; ":0" is any free port on loopback."""
    host, _, port = text.rpartition(":") if ":" in text else (text, ":", "8000")
    if not port.isdecimal() or int(port) > 65535:
        raise ArgumentTypeError(f"'{text}' is no address; write HOST:PORT, for instance 127.0.0.1:8000")
    return host.strip("[]") or "127.0.0.1", int(port)


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError("must be a whole number from 1")
    return int(text)


def queue_names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in QUEUES]:
        raise ArgumentTypeError(f"there is no queue {unknown[0]}; there are {', '.join(QUEUES)}")
    return names


class Command(BaseCommand):
    help = "Start the platform: database, Valkey, web server, workers and reconciler, all state under one folder."
    requires_system_checks = [Tags.security]  # the others import every view there is; the lint makes them

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--bind", type=address, default="127.0.0.1:8000", help="HOST:PORT (port 0: any free one)")
        parser.add_argument("--data", help="the data folder (default: AUTOML_DATA, or ./data)")  # read by manage.py
        parser.add_argument("--workers", type=positive, default=1, help="workers that train on tables (default: 1)")
        parser.add_argument(
            "--deep-workers", type=positive, default=1, help="workers that train networks on the CPU (default: 1)"
        )
        parser.add_argument(
            "--gpus-per-worker", type=positive, default=1, help="GPUs of each worker that trains on them (default: 1)"
        )
        parser.add_argument(
            "--queues", type=queue_names, default=(), help="serve only these, separated by commas (default: all it can)"
        )
        parser.add_argument("--server", choices=("uvicorn", "daphne"), default="uvicorn")
        parser.add_argument("--only", choices=ROLES, help="run one role, for other machines")
        parser.add_argument("--reload", action="store_true", help="restart web and workers when code changes")

    def handle(self, *args: Any, **options: Any) -> None:
        host, port = options["bind"]
        roles = [options["only"]] if options["only"] else list(ROLES)
        order = Order(
            host=host,
            port=port,
            workers=options["workers"],
            server=options["server"],
            roles=roles,
            deep_workers=options["deep_workers"],
            gpus_per_worker=options["gpus_per_worker"],
            queues=options["queues"],
        )
        try:
            self._up(order, reload=options["reload"])
        except CannotStart as error:
            raise CommandError(str(error)) from error
        exit_now()

    def _up(self, order: Order, *, reload: bool) -> None:
        whole = len(order.roles) == len(ROLES)
        if not whole and (settings.EMBEDDED_DATABASE or settings.EMBEDDED_REDIS):
            raise CannotStart(
                "--only runs one role against services that others share: set DATABASE_URL and REDIS_URL. "
                "Without them, `manage.py up` runs all roles, embedded."
            )
        _prepare_folder(settings.DATA_DIR)
        lock = FolderLock(settings.DATA_DIR) if whole else None
        listener = listen(order.host, order.port) if "web" in order.roles else None
        trainers = [f"train-{n}" for n in range(1, order.workers + 1)]
        trainers += [f"deep-{n}" for n in range(1, order.deep_workers + 1)]
        names = ["valkey", "web", *trainers, "infer", "infer-deep", "reconcile"]
        log = Log(settings.DATA_DIR / ("up.log" if whole else f"{order.roles[0]}.log"), names)
        platform = Platform(order, log, lock)
        platform.supervisor.take_signals()
        if reload:
            platform.supervisor.watchers.append(CodeWatch(settings.BASE_DIR, platform.code_changed))
        try:
            platform.start(listener)
            platform.supervisor.run()
        finally:
            log.line("up", "Stopping …")
            platform.supervisor.stop()
            log.line("up", "Stopped")


def _prepare_folder(data: Path) -> None:
    """Raises CannotStart when the folder cannot hold the platform's state."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        settings.FILES_ROOT.mkdir(exist_ok=True)
    except OSError as error:
        raise CannotStart(f"Cannot write to {data}: {error.strerror}. Choose another folder by --data DIR.") from error
    if not os.access(data, os.W_OK | os.X_OK):
        raise CannotStart(f"Cannot write to {data}. Choose another folder by --data DIR.")
    free = shutil.disk_usage(data).free
    if free < LEAST_FREE_BYTES:
        needed = LEAST_FREE_BYTES // 2**20
        raise CannotStart(f"Only {free // 2**20} MiB are free on the disk of {data}; at least {needed} MiB are needed.")
