"""One training by several processes: torchrun starts them, this process tells what the first of them reports.

    who trains ── train() ── torchrun ── `trainers.deep.member`, one process for each GPU

    python -m trainers.deep.launch --join --node-rank 1 --num-nodes 2 --num-gpus 4

is what another machine of a training with `num_nodes` runs. Imports no torch itself.
"""

import argparse
import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainers.configs.deep import DeepConfig
from trainers.deep.seed import seed_of
from trainers.protocol import (
    ConfigProblem,
    DataProblem,
    ModelProblem,
    Reporter,
    Stopped,
    TrainerError,
    TrainResult,
)

RENDEZVOUS = "AUTOML_RDZV"  # HOST:PORT of this machine, as the others reach it
SCRATCH = "AUTOML_GROUP"  # the folder that launcher and members speak through
LARGEST_PART = "AUTOML_LARGEST_PART"  # examples that fit into a member's memory at once, as found out before
LOOK = 0.1  # seconds between two looks at should_stop
MEETING_SECONDS = 600  # that machines wait for each other
REJOIN = 5.0  # seconds before another machine asks for the next training
SPEC, EVENTS, STOP = "spec.json", "events", "stop"
KILLED = "killed.json"
_ROOT = Path(__file__).resolve().parents[2]
_PR_SET_PDEATHSIG = 1
_ERRORS = {each.__name__: each for each in (TrainerError, DataProblem, ConfigProblem, ModelProblem)}


def is_wanted(config: Any) -> bool:
    """Whether this training is to be one of several processes, and this is not one of them already."""
    return isinstance(config, DeepConfig) and config.num_gpus * config.num_nodes > 1 and "LOCAL_RANK" not in os.environ


def train(model_type: str, config: DeepConfig, data_path: Path, out: Path, reporter: Reporter) -> TrainResult:
    """As `registry.train`, by `config.num_gpus` processes on each of `config.num_nodes` machines.

    A part of a batch that does not fit into a process's memory is halved, and all begin anew at the last checkpoint.

    Raises:
        TrainerError: as the trainer does, or the other machines did not come.
        Stopped: it was asked to; what could be kept lies in the checkpoint.
        ImportError: this machine lacks a package that the training needs.
        RuntimeError: a process ended without telling why, or in an unforeseen way.
    """
    config = config.model_copy(update={"random_state": seed_of(config.random_state, reporter)})
    machines = f" on each of {config.num_nodes} machines" if config.num_nodes > 1 else ""
    reporter.log("INFO", f"{config.num_gpus} processes{machines} share every batch")
    largest: int | None = None
    while True:
        outcome = _run(model_type, config, data_path, out, reporter, largest)
        if outcome["kind"] != "part_too_large":
            return _concluded(outcome, out)
        largest = outcome["part"] // 2
        reporter.log(
            "WARN",
            f"{outcome['part']} examples at once do not fit into a process's memory; beginning anew at the last "
            f"checkpoint with {largest}, whose gradients are added up",
        )


def _run(
    model_type: str, config: DeepConfig, data_path: Path, out: Path, reporter: Reporter, largest: int | None
) -> dict[str, Any]:
    """Start torchrun, and follow it to its end: the outcome that counts."""
    command = [*_torchrun(config.num_gpus, config.num_nodes, node_rank=0), "-m", "trainers.deep.member"]
    with tempfile.TemporaryDirectory(prefix=".group-", dir=out.resolve().parent) as folder:
        scratch = Path(folder)
        spec = {
            "model_type": model_type,
            "config": config.model_dump(mode="json"),
            "data": str(data_path.resolve()),
            "out": str(out.resolve()),
            "checkpoint": str(reporter.checkpoint().resolve()),
        }
        (scratch / SPEC).write_text(json.dumps(spec), encoding="utf-8")
        with _pipe(scratch / EVENTS) as events:
            process = subprocess.Popen(command, env=_environment(config, scratch, largest))  # noqa: S603
            try:
                _follow(process, events, scratch / STOP, reporter)
            finally:
                process.kill()  # its members die with it
                process.wait()
        return _outcome(scratch, process.returncode, config)


def _torchrun(num_gpus: int, num_nodes: int, *, node_rank: int) -> list[str]:
    """The command, but for what it is to run. Raises ConfigProblem: no address to meet at is set."""
    if num_nodes == 1:
        address = f"127.0.0.1:{_free_port()}"
    else:
        address = os.environ.get(RENDEZVOUS, "")
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            sentence = (
                f"is {num_nodes}, but this worker does not say where its machines meet: its operator sets {RENDEZVOUS} "
                "to the worker's own HOST:PORT, and starts the other machines (see docs/operations.md)."
            )
            raise ConfigProblem(f"num_nodes {sentence}", details={"num_nodes": [sentence]})
    command = [sys.executable, "-m", "trainers.deep.launch", "--max-restarts", "0"]
    command += ["--nproc-per-node", str(num_gpus), "--nnodes", str(num_nodes), "--node-rank", str(node_rank)]
    # torchrun's other meetings, also that of --standalone, read pickles from a port that is open to the network.
    command += ["--rdzv-backend", "static", "--rdzv-endpoint", address, "--rdzv-id", "automl"]
    return [*command, "--rdzv-conf", f"timeout={MEETING_SECONDS}"]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _environment(config: DeepConfig, scratch: Path, largest: int | None) -> dict[str, str]:
    environment = {
        "OMP_NUM_THREADS": str(max(len(os.sched_getaffinity(0)) // config.num_gpus, 1)),
        "TORCH_CPP_LOG_LEVEL": "ERROR",  # not a warning that all weights of a model are learnt
        **os.environ,
        SCRATCH: str(scratch),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH")))),
    }
    if largest is not None:
        environment[LARGEST_PART] = str(largest)
    if config.num_nodes == 1:
        environment["GLOO_SOCKET_IFNAME"] = "lo"  # whatever name the machine has, or none
    return environment


# --- Following -------------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def _pipe(path: Path) -> Iterator[int]:
    os.mkfifo(path, 0o600)
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)  # open for writing too: it never ends, who writes may
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _follow(process: "subprocess.Popen[bytes]", events: int, stop: Path, reporter: Reporter) -> None:
    """Tell what comes through the pipe until the process has ended. Hands `should_stop` on."""
    rest = b""
    while True:
        has_ended = process.poll() is not None  # looked at first: all that it wrote is in the pipe by then
        ready, _, _ = select.select([events], [], [], 0 if has_ended else LOOK)
        if ready:
            *lines, rest = (rest + os.read(events, 65536)).split(b"\n")
            for line in lines:
                name, arguments = json.loads(line)
                getattr(reporter, name)(*arguments)
        elif has_ended:
            return
        if reporter.should_stop():
            stop.touch()


def _outcome(scratch: Path, returncode: int, config: DeepConfig) -> dict[str, Any]:
    """Of what each member left behind: the result, else what was foreseen, else the worst that happened."""
    paths = sorted(scratch.glob("outcome-*.json"))
    found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    for kind in ("result", "stopped", "part_too_large", "refused", "lacking"):
        for outcome in found:
            if outcome["kind"] == kind:
                return dict(outcome)
    killed = scratch / KILLED
    if killed.exists():
        return dict(json.loads(killed.read_text(encoding="utf-8")))
    if found:
        return dict(found[0])
    if config.num_nodes > 1:
        sentence = f"The {config.num_nodes} machines of this training did not meet at {os.environ[RENDEZVOUS]}."
        return {"kind": "refused", "type": "TrainerError", "message": sentence, "details": {}}
    return {"kind": "broken", "message": f"torchrun ended with {returncode}, and none of its processes said why"}


def _concluded(outcome: Mapping[str, Any], out: Path) -> TrainResult:
    """The result, or the exception that the outcome stands for."""
    if outcome["kind"] == "result":
        return TrainResult(**{**outcome["result"], "folder": out})
    if outcome["kind"] == "stopped":
        raise Stopped
    if outcome["kind"] == "refused":
        raise _ERRORS.get(outcome["type"], TrainerError)(outcome["message"], details=outcome["details"])
    if outcome["kind"] == "lacking":
        kind = ModuleNotFoundError if outcome["is_missing"] else ImportError
        raise kind(outcome["message"], name=outcome["name"])
    raise RuntimeError(outcome["message"])


# --- What torchrun's process, and another machine, run ---------------------------------------------------------------
def die_with_parent() -> None:
    """Have the kernel kill this process when the one that started it is gone."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")


def main(arguments: list[str]) -> int:
    """torchrun with these arguments, or `--join`. The exit status."""
    if "--join" in arguments:
        return _join(arguments)
    die_with_parent()
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    try:
        torchrun(arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        scratch = os.environ.get(SCRATCH)
        if failure.exitcode < 0 and scratch:
            message = (
                f"process {rank} of the training was killed by signal {-failure.exitcode} ({failure.signal_name()})"
            )
            (Path(scratch) / KILLED).write_text(json.dumps({"kind": "broken", "message": message}), encoding="utf-8")
        return 1
    return 0


def _join(arguments: list[str]) -> int:
    """Take part in one training after the other, as the worker at the meeting place begins them. Never returns."""
    parser = argparse.ArgumentParser(prog="python -m trainers.deep.launch", description="Join trainings as a machine.")
    parser.add_argument("--join", action="store_true", required=True)
    parser.add_argument("--node-rank", type=int, required=True, help="this machine's number, from 1")
    parser.add_argument("--num-nodes", type=int, required=True, help="machines of a training, the worker's counted in")
    parser.add_argument("--num-gpus", type=int, default=1, help="processes here")
    parser.add_argument("--once", action="store_true", help="end with the first training")
    asked = parser.parse_args(arguments)
    command = _torchrun(asked.num_gpus, asked.num_nodes, node_rank=asked.node_rank)
    while True:
        status = subprocess.call([*command, "-m", "trainers.deep.member"])  # noqa: S603
        if asked.once:
            return status
        time.sleep(REJOIN)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
