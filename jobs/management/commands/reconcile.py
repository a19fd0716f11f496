"""`manage.py reconcile`: the process that finds lost attempts and missing wake-ups, and folds metric points. Any number
may run."""

import threading
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandParser

from automl_site.exits import exit_now
from jobs.reconciler import Reconciler
from jobs.supervision import StopSignals
from tracking.services.folding import Folder

FOLD_ENDS_IN = 5.0  # seconds


class Command(BaseCommand):
    help = "Queue the jobs of dead workers again, and keep a wake-up in Redis for each pending job."
    requires_system_checks = [Tags.security]  # the others import every view there is; the lint makes them

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="one round, judging silent attempts at once")

    def handle(self, *args: Any, **options: Any) -> None:
        reconciler = Reconciler()
        if options["once"]:
            reconciler.run_once()
            return
        signals = StopSignals()
        over = threading.Event()
        # In a thread: a long fold delays no judgement of heartbeats. A daemon: it may be killed at any moment.
        folder = threading.Thread(
            target=Folder().run, args=(over.wait, over.is_set, lambda: reconciler.is_active), name="folder", daemon=True
        )
        folder.start()
        reconciler.run(signals.wait, lambda: signals.requested)
        over.set()
        folder.join(FOLD_ENDS_IN)
        exit_now()
