"""A worker's row: its name, what it serves, and that it lives."""

import itertools
import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now

from jobs.lifecycle import database_now, dead_after
from jobs.models import Worker
from jobs.outages import OUTAGE
from jobs.processes import is_alive, machine_id


class Registration:
    """Keeps this process's `Worker` row. Every method raises what the database raises."""

    def __init__(
        self, *, kind: str, queues: Sequence[str], capabilities: Mapping[str, Any], wanted_name: str = ""
    ) -> None:
        self._wanted_name = wanted_name
        self._fields = {
            "kind": kind,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "queues": list(queues),
            "capabilities": {**capabilities, "machine": machine_id()},
        }
        self.worker = self._register()

    def beat(self, state: str) -> None:
        """Say that the worker is alive. One whose row was given away while it was silent gets another."""
        mine = Worker.objects.filter(pk=self.worker.pk, pid=self.worker.pid, started_at=self.worker.started_at)
        if not mine.update(heartbeat_at=Now(), state=state):
            self.worker = self._register()

    @contextmanager
    def beating(self, state: str, *, every: float) -> Iterator[None]:
        """Beat every so many seconds from a thread, for as long as the caller's own has no time for it.

        The thread and its connection are gone afterwards: a fork must find neither.
        """
        is_over = threading.Event()

        def beat() -> None:
            try:
                while not is_over.wait(every):
                    with suppress(*OUTAGE):
                        self.beat(state)
            finally:
                connection.close()

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def serve(self, queues: Sequence[str]) -> None:
        """From now on serve these queues."""
        self._fields["queues"] = self.worker.queues = list(queues)
        Worker.objects.filter(pk=self.worker.pk, started_at=self.worker.started_at).update(queues=list(queues))

    def stopped(self) -> None:
        Worker.objects.filter(pk=self.worker.pk, started_at=self.worker.started_at).update(
            state=Worker.State.STOPPED, heartbeat_at=Now()
        )

    def _register(self) -> Worker:
        for name in self._names():
            # Not Now(): SQLite writes that with fewer digits than a datetime is compared with, and `beat` compares.
            started_at = database_now()
            fresh = {**self._fields, "state": Worker.State.IDLE, "started_at": started_at, "heartbeat_at": Now()}
            try:
                with transaction.atomic():
                    return Worker.objects.get(pk=Worker.objects.create(name=name, **fresh).pk)
            except IntegrityError:
                row = Worker.objects.filter(name=name).first()
            if row is None or not self._is_free(row):
                continue
            if Worker.objects.filter(pk=row.pk, pid=row.pid, started_at=row.started_at).update(**fresh):
                return Worker.objects.get(pk=row.pk)
        raise AssertionError("the names are endless")

    def _names(self) -> Iterator[str]:
        base = self._wanted_name or f"{self._fields['host']}-{self._fields['kind']}"
        if self._wanted_name:
            yield base[:100]
        for number in itertools.count(2 if self._wanted_name else 1):
            suffix = f"-{number}"
            yield base[: 100 - len(suffix)] + suffix

    def _is_free(self, row: Worker) -> bool:
        """Its worker stopped, fell silent, or was a process of this machine that is no more."""
        if row.state == Worker.State.STOPPED or row.heartbeat_at < database_now() - dead_after():
            return True
        here = row.host == self._fields["host"] and row.capabilities.get("machine") == machine_id()
        return here and (row.pid == os.getpid() or not is_alive(row.pid))
