"""Which children make up the platform, and in what order they come up."""

import fcntl
import json
import os
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from automl_site import valkey
from automl_site.supervisor.children import ChildSpec
from automl_site.supervisor.log import Log
from automl_site.supervisor.supervisor import Supervisor
from jobs import layout
from jobs.capabilities import probe
from jobs.layout import Lane

ROLES = ("web", "worker", "reconciler")
READY_SECONDS = 60.0
NOTHING_TO_SERVE = 78  # a worker's exit status when the machine has no framework for it
MIGRATION_LOCK = 0x6175746F6D6C  # "automl": any number that nobody else takes
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class CannotStart(Exception):
    """Why the platform does not start, in words that say what to do."""


@dataclass(frozen=True)
class Order:
    """What was asked for on the command line."""

    host: str
    port: int
    workers: int
    server: str
    roles: Sequence[str]
    deep_workers: int = 1
    gpus_per_worker: int = 1
    queues: Sequence[str] = ()  # all that the machine can serve, if empty


class FolderLock:
    """Only one `up` works on a data folder. The kernel lets go of the lock when the process ends, however it ends."""

    def __init__(self, data: Path) -> None:
        self._path = data / "up.lock"
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = json.loads(os.read(self._descriptor, 4096) or b"{}")
            where = f" and serves {holder['address']}" if holder.get("address") else ""
            raise CannotStart(
                f"The platform is running on {data} already: process {holder.get('pid', '?')} holds it{where}. "
                "Stop that one first, or choose another folder by --data DIR."
            ) from None
        self.note("")

    def note(self, address: str) -> None:
        """Write down who holds the folder and where it serves."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps({"pid": os.getpid(), "address": address}).encode(), 0)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that the web process inherits. Raises CannotStart when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise CannotStart(
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose another address by --bind, for instance "
            "--bind 127.0.0.1:8001, or --bind :0 for any free port."
        ) from error
    listener.listen(2048)
    listener.set_inheritable(True)
    return listener


@contextmanager
def _alone_on_database() -> Iterator[None]:
    """Of several machines that start at once, one migrates and the others wait for it. SQLite's file has one `up`."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])


def is_open(host: str) -> bool:
    """Whether anonymous callers stand for `local`: as AUTOML_OPEN says, else only where embedded and on loopback."""
    if "AUTOML_OPEN" in os.environ:
        return bool(settings.OPEN_MODE)
    return not settings.PRODUCTION and settings.EMBEDDED_DATABASE and host in LOOPBACK


class Platform:
    """The children of one `manage.py up`."""

    def __init__(self, order: Order, log: Log, lock: FolderLock | None) -> None:
        self.order = order
        self.log = log
        self.lock = lock
        self.supervisor = Supervisor(log)
        self.address = ""
        self.environment = {
            **os.environ,
            "AUTOML_DATA": str(settings.DATA_DIR),
            "AUTOML_OPEN": "1" if is_open(order.host) else "0",
            "DJANGO_SETTINGS_MODULE": "automl_site.settings",
            "PYTHONUNBUFFERED": "1",
        }

    def start(self, listener: socket.socket | None) -> None:
        """Start everything in order and wait until it answers. Raises CannotStart."""
        began = time.monotonic()
        if settings.EMBEDDED_REDIS:
            self._start_valkey()
        self._migrate()
        if self.supervisor.stopping:
            return
        self._start_roles(listener)
        if listener is not None:
            self._wait(self._web_answers, what="the web process")
        if self.supervisor.stopping:
            return
        # Before it is said: who reads "Ready" reads the address next.
        if self.lock is not None:
            self.lock.note(self.address)
            (settings.DATA_DIR / "address").write_text(self.address + "\n")
        where = f" at {self.address}" if self.address else ""
        mode = " (open mode: no sign-in needed for the API)" if self.environment["AUTOML_OPEN"] == "1" else ""
        self.log.line("up", f"Ready{where} after {time.monotonic() - began:.1f} s{mode}; data in {settings.DATA_DIR}")

    def code_changed(self, path: Path) -> None:
        """Restart what runs our code; workers hand their jobs back and take them up again."""
        self.log.line("up", f"{path.name} changed: restarting")
        names = [child.spec.name for child in self.supervisor.children if child.spec.name != "valkey"]
        self.supervisor.restart(names)

    def _start_valkey(self) -> None:
        folder = settings.DATA_DIR / "valkey"
        valkey.prepare(socket=settings.VALKEY_SOCKET, folder=folder)
        command = valkey.command(socket=settings.VALKEY_SOCKET, folder=folder)
        self.supervisor.add(ChildSpec("valkey", command, self.environment, stop_round=2, shielded=True))
        client = redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

        self._wait(answers, what="Valkey")
        client.close()

    def _migrate(self) -> None:
        """The whole platform brings its database up to date; a role alone may not change it under the others' feet."""
        try:
            if len(self.order.roles) == len(ROLES):
                with _alone_on_database():
                    call_command("migrate", verbosity=0, interactive=False)
                return
            executor = MigrationExecutor(connection)
            if executor.migration_plan(executor.loader.graph.leaf_nodes()):
                raise CannotStart(
                    "The database is not migrated to this version. Run this once, then start again:\n"
                    f"  {sys.executable} manage.py migrate"
                )
        except DatabaseError as error:
            raise CannotStart(f"The database cannot be used: {error}") from error
        finally:
            connection.close()

    def _start_roles(self, listener: socket.socket | None) -> None:
        manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
        if listener is not None:
            self._start_web(listener)
        if "worker" in self.order.roles:
            for lane in self.lanes():
                name = f"{socket.gethostname()}-{lane.name}"
                self._add("worker", lane.name, [*manage, "worker", *lane.arguments(), "--name", name])
        if "reconciler" in self.order.roles:
            self._add("reconciler", "reconcile", [*manage, "reconcile"])

    def lanes(self) -> list[Lane]:
        """The workers for this machine. Raises CannotStart where it was to run nothing else, and can run none."""
        order, found = self.order, probe()
        names = ", ".join(f"{name} {version}" for name, version in found["frameworks"].items()) or "none"
        self.log.line("up", f"Frameworks found: {names}; GPUs: {len(found['devices'])}")
        lanes = layout.lanes(
            found,
            workers=order.workers,
            deep_workers=order.deep_workers,
            gpus_per_worker=order.gpus_per_worker,
            only=order.queues,
        )
        if not lanes:
            missing = (
                f"This machine can serve no queue{' of ' + ', '.join(order.queues) if order.queues else ''}. Install a "
                "framework, for instance: make torch, or pip install -r requirements/worker-sklearn.txt"
            )
            if list(order.roles) == ["worker"]:
                raise CannotStart(missing)
            self.log.line("up", missing)
        return lanes

    def _start_web(self, listener: socket.socket) -> None:
        descriptor = listener.fileno()
        if self.order.server == "daphne":
            command = [sys.executable, "-m", "daphne", "--fd", str(descriptor), "--access-log", os.devnull]
            command += ["--verbosity", "0", "automl_site.asgi:application"]
        else:
            command = [sys.executable, "-m", "automl_site.supervisor.serve", str(descriptor)]
        host, port = listener.getsockname()[:2]
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._add("web", "web", command, stop_round=0, keep=(descriptor,))

    def _add(
        self, role: str, name: str, command: Sequence[str], *, stop_round: int = 1, keep: Sequence[int] = ()
    ) -> None:
        environment = {**self.environment, "AUTOML_ROLE": role}
        gives_up_with = NOTHING_TO_SERVE if role == "worker" else None
        self.supervisor.add(
            ChildSpec(name, command, environment, stop_round=stop_round, gives_up_with=gives_up_with, keep=keep)
        )

    def _web_answers(self) -> bool:
        host_and_port = self.address.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
        request = urllib.request.Request(f"{host_and_port}/health")  # noqa: S310  (our own address)
        if settings.ALLOWED_HOSTS and "*" not in settings.ALLOWED_HOSTS:
            request.add_header("Host", settings.ALLOWED_HOSTS[0].lstrip("."))
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False

    def _wait(self, condition: Callable[[], bool], *, what: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self.supervisor.stopping and not condition():
            if time.monotonic() > deadline:
                raise CannotStart(f"{what} did not answer within {READY_SECONDS:g} s; its lines above say why.")
            self.supervisor.tick(0.05)
