"""`manage.py worker`: a process that trains, or one that serves inference, for the queues that this machine can run."""

import gc
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError, CommandParser

from automl_site.exits import exit_now
from jobs import processes, workspace
from jobs.capabilities import probe, servable_queues
from jobs.inference import InferenceMonitor
from jobs.models import Worker
from jobs.outages import OUTAGE, until_recorded
from jobs.registration import Registration
from jobs.routing import QUEUES
from jobs.supervision import StopSignals
from jobs.worker import TrainingWorker, import_trainers

# The supervisor need not start this command again: another try would end the same way (EX_CONFIG).
EXIT_NOTHING_TO_SERVE = 78


class Command(BaseCommand):
    help = "Run training or inference jobs of the queues that this machine can serve."
    requires_system_checks = [Tags.security]  # the others import every view there is; the lint makes them

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--kind", choices=Worker.Kind.values, default=Worker.Kind.TRAINING)
        parser.add_argument("--name", default="", help="as which it is listed (default: host-kind-n)")
        parser.add_argument("--queues", default="", help="only these, separated by commas (default: all it can serve)")

    def handle(self, *args: Any, **options: Any) -> None:
        processes.adopt_orphans()
        kind = options["kind"]
        capabilities = probe()
        queues = _queues(capabilities, kind=kind, wanted=options["queues"])
        broken = import_trainers({QUEUES[name].framework for name in queues})
        if broken:
            queues = [name for name in queues if QUEUES[name].framework not in broken]
        if not queues:
            raise CommandError(
                "What the queues need is installed, but cannot be imported (see above).",
                returncode=EXIT_NOTHING_TO_SERVE,
            )
        gc.freeze()  # a collection in a forked child would touch, and so copy, all that is shared
        signals = StopSignals()  # until here there is nothing to wind up: SIGTERM just ends the process
        guard = processes.Guard(secrets.token_hex(16))
        registration = until_recorded(
            lambda: Registration(kind=kind, queues=queues, capabilities=capabilities, wanted_name=options["name"]),
            what="the worker's registration",
            give_up=lambda: signals.requested,
        )
        workspace.remove_ended()
        self.stderr.write(f"Worker {registration.worker.name} serves {', '.join(queues)}")
        if kind == Worker.Kind.TRAINING:
            TrainingWorker(registration=registration, signals=signals, guard=guard).work()
        else:
            InferenceMonitor(registration=registration, signals=signals, guard=guard).run()
        with suppress(*OUTAGE):
            registration.stopped()
        guard.stop()
        exit_now()


def _queues(capabilities: Mapping[str, Any], *, kind: str, wanted: str) -> Sequence[str]:
    able = servable_queues(capabilities, inference=kind == Worker.Kind.INFERENCE)
    asked = [name.strip() for name in wanted.split(",") if name.strip()] or able
    if unknown := [name for name in asked if name not in QUEUES]:
        raise CommandError(f"There is no queue {unknown[0]}; there are {', '.join(QUEUES)}.")
    queues = [name for name in able if name in asked]
    if not queues:
        frameworks = ", ".join(capabilities["frameworks"]) or "none"
        raise CommandError(
            f"This machine can serve none of the {kind} queues asked for ({', '.join(asked) or 'any'}); frameworks "
            f"found here: {frameworks}. Install one, for instance: pip install -r requirements/worker-sklearn.txt",
            returncode=EXIT_NOTHING_TO_SERVE,
        )
    return queues
