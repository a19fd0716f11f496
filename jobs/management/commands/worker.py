"""`manage.py worker`: a process that trains, or one that serves inference, for the queues that this machine can run."""

import gc
import os
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
from jobs.layout import LIGHT, takes_gpu
from jobs.models import Worker
from jobs.outages import OUTAGE, until_recorded
from jobs.registration import Registration
from jobs.routing import QUEUES
from jobs.supervision import StopSignals
from jobs.worker import NothingToServe, TrainingWorker, import_trainers

# The supervisor need not start this command again: another try would end the same way (EX_CONFIG).
EXIT_NOTHING_TO_SERVE = 78
SPINS = "1000"  # what libgomp itself takes where it knows that there are more threads than cores


class Command(BaseCommand):
    help = "Run training or inference jobs of the queues that this machine can serve."
    requires_system_checks = [Tags.security]  # the others import every view there is; the lint makes them

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--kind", choices=Worker.Kind.values, default=Worker.Kind.TRAINING)
        parser.add_argument("--name", default="", help="as which it is listed (default: host-kind-n)")
        parser.add_argument("--queues", default="", help="only these, separated by commas (default: all it can serve)")
        parser.add_argument(
            "--gpus",
            default="",
            help="the GPUs that are its own, as in CUDA_VISIBLE_DEVICES (0,1), or all: it serves the queues whose jobs "
            "get one. Default: none, and the other queues; all, if --queues names a GPU queue",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        processes.adopt_orphans()
        _share_cores()
        kind = options["kind"]
        wanted = [name.strip() for name in options["queues"].split(",") if name.strip()]
        if unknown := [name for name in wanted if name not in QUEUES]:
            raise CommandError(f"There is no queue {unknown[0]}; there are {', '.join(QUEUES)}.")
        gpus = options["gpus"].strip() or ("all" if any(QUEUES[name].gpu for name in wanted) else "")
        _show_gpus(gpus)
        capabilities = probe()
        queues = _queues(capabilities, kind=kind, wanted=wanted, owns_gpus=bool(gpus))
        # The others are imported when the first job needs them: PyTorch alone takes seconds, and hundreds of megabytes.
        light = {QUEUES[name].framework for name in queues} & {LIGHT}
        if broken := import_trainers(light):
            queues = [name for name in queues if QUEUES[name].framework not in broken]
        if not queues:
            raise _nothing_to_serve()
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
        try:
            if kind == Worker.Kind.TRAINING:
                TrainingWorker(registration=registration, signals=signals, guard=guard).work()
            else:
                InferenceMonitor(registration=registration, signals=signals, guard=guard).run()
        except NothingToServe as error:
            raise _nothing_to_serve() from error
        finally:
            with suppress(*OUTAGE):
                registration.stopped()
            guard.stop()
        exit_now()


def _share_cores() -> None:
    """Let threads that wait for each other sleep soon. To be called before any framework is imported.

    OpenMP's turn round and round for about a millisecond at the end of every operation on tensors. Beside another
    process on the same cores, as inference is beside a training, that takes many times the processor's time.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def _show_gpus(own: str) -> None:
    """Let this process and its children see the GPUs that it owns, and no others."""
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # numbered as nvidia-smi does
    if own != "all":
        os.environ["CUDA_VISIBLE_DEVICES"] = own


def _nothing_to_serve() -> CommandError:
    return CommandError(
        "What the queues need is installed, but cannot be imported (see above).", returncode=EXIT_NOTHING_TO_SERVE
    )


def _queues(capabilities: Mapping[str, Any], *, kind: str, wanted: Sequence[str], owns_gpus: bool) -> Sequence[str]:
    able = servable_queues(capabilities, inference=kind == Worker.Kind.INFERENCE)
    if owns_gpus and kind == Worker.Kind.TRAINING:
        # One job a GPU: what needs none would keep it from those that do.
        able = [name for name in able if takes_gpu(name)]
    queues = [name for name in able if not wanted or name in wanted]
    if not queues:
        frameworks = ", ".join(capabilities["frameworks"]) or "none"
        devices = f", GPUs of its own: {len(capabilities['devices'])}" if owns_gpus else ", no GPU of its own (--gpus)"
        raise CommandError(
            f"This machine can serve none of the {kind} queues asked for ({', '.join(wanted) or 'any'}); frameworks "
            f"found here: {frameworks}{devices}. Install what is missing, for instance: make torch, or "
            "pip install -r requirements/worker-sklearn.txt",
            returncode=EXIT_NOTHING_TO_SERVE,
        )
    return queues
