"""`manage.py reconcile`: the process that finds lost attempts and missing wake-ups. Any number may run."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from automl_site.exits import exit_now
from jobs.reconciler import Reconciler
from jobs.supervision import StopSignals


class Command(BaseCommand):
    help = "Queue the jobs of dead workers again, and keep a wake-up in Redis for each pending job."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="one round, judging silent attempts at once")

    def handle(self, *args: Any, **options: Any) -> None:
        reconciler = Reconciler()
        if options["once"]:
            reconciler.run_once()
            return
        signals = StopSignals()
        reconciler.run(signals.wait, lambda: signals.requested)
        exit_now()
