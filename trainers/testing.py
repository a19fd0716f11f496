"""`sleeper`: a trainer for recovery tests. It takes a stated time in stated steps, and misbehaves on demand.

Registered only where AUTOML_TEST_TRAINERS is `1` or, without the other trainers, `only`. Time passing is its purpose:
what it "trains" is nothing.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from trainers.configs.base import TrainerConfig
from trainers.files import write_json_atomically
from trainers.protocol import ModelProblem, Reporter, Stopped, Task, TrainerError, TrainResult

if TYPE_CHECKING:
    import polars as pl

POLL = 0.02  # seconds between two looks at should_stop()
CHECKPOINT = "step.json"
CHILDREN = "children.json"


class SleeperConfig(TrainerConfig):
    seconds: Annotated[float, Field(ge=0, le=86_400)] = Field(
        1.0, description="Time of all steps together, in seconds."
    )
    steps: Annotated[int, Field(ge=1, le=100_000)] = Field(10, description="Steps; each ends with a checkpoint.")
    ignore_stop: bool = Field(False, description="Never look at should_stop().")
    ignore_sigterm: bool = Field(False, description="Ignore SIGTERM, so that only SIGKILL ends it.")
    spawn_children: Annotated[int, Field(ge=0, le=16)] = Field(
        0, description="Child processes, each in a session of its own; their ids are written to children.json."
    )
    crash: Literal["exit", "raise", "error", "segv", "kill", "memory", "disk"] | None = Field(
        None,
        description="How to end early: os._exit, an unforeseen exception, a TrainerError, SIGSEGV, SIGKILL, by asking "
        "for more memory than the process may have, or by writing until the disk is full.",
    )
    crash_at_step: Annotated[int, Field(ge=0)] = Field(0, description="The step before which it crashes, from 0.")
    crash_once: bool = Field(False, description="Crash only if nothing was resumed, so that a second attempt succeeds.")
    c_sleep: bool = Field(False, description="Wait inside one C call a step: no Python code, no signal handler runs.")


def train(config: SleeperConfig, data_path: Path, out: Path, reporter: Reporter) -> TrainResult:
    """Wait `config.seconds` in `config.steps` steps, resuming after the last checkpointed one."""
    started = time.perf_counter()
    folder = reporter.checkpoint()
    first = _completed_steps(folder / CHECKPOINT)
    if first:
        reporter.log("INFO", f"resumed after step {first} of {config.steps}")
    if config.ignore_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    children = [_child() for _ in range(config.spawn_children)]
    try:
        if children:
            write_json_atomically(folder / CHILDREN, [child.pid for child in children])
        for step in range(first, config.steps):
            if config.crash and step == config.crash_at_step and not (config.crash_once and first):
                _crash(config.crash, out)
            _wait(config, reporter)
            write_json_atomically(folder / CHECKPOINT, {"completed": step + 1})
            reporter.metrics({"step": float(step + 1)}, step=step + 1)
            reporter.progress((step + 1) / config.steps, f"step {step + 1} of {config.steps}")
            reporter.log("INFO", f"step {step + 1} of {config.steps}")
    finally:
        for child in children:
            child.kill()
            child.wait()
    metrics = {"steps": float(config.steps), "training_time": time.perf_counter() - started}
    write_json_atomically(out / "model.json", {"format_version": 1, "model_type": "sleeper", "metrics": metrics})
    return TrainResult(
        metrics=metrics,
        folder=out,
        framework="sklearn",
        framework_version="",
        backend="none",
        device="cpu",
        task="regression",
    )


class SleeperPredictor:
    """Answers 0.0 after `parameters["seconds"]`, or ends the process as `parameters["crash"]` says."""

    task: Task = "regression"
    columns: list[dict[str, Any]] = []

    def predict(
        self, rows: "Sequence[Mapping[str, Any]] | pl.DataFrame", parameters: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        asked = dict(parameters or {})
        if asked.get("crash"):
            _crash(str(asked["crash"]), Path())
        time.sleep(float(asked.get("seconds", 0)))
        return [{"value": 0.0} for _ in range(len(rows))]

    def predict_input(self, input_data: Any, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        return self.predict([{}], parameters)


def load(folder: Path, manifest: Mapping[str, Any]) -> SleeperPredictor:
    return SleeperPredictor()


def _completed_steps(path: Path) -> int:
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["completed"])
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelProblem("The checkpoint is damaged.") from error


def _child() -> "subprocess.Popen[bytes]":
    """A process that outlives its parent unless somebody kills it, in a process group of its own."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], start_new_session=True)  # noqa: S603


def _wait(config: SleeperConfig, reporter: Reporter) -> None:
    seconds = config.seconds / config.steps
    if config.c_sleep:
        # Signals stay pending in this thread for the call, as if they came during a long C fit.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            ctypes.CDLL(None).usleep(ctypes.c_uint(int(seconds * 1e6)))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    deadline = time.monotonic() + (0 if config.c_sleep else seconds)
    while True:
        if not config.ignore_stop and reporter.should_stop():
            raise Stopped
        left = deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, POLL))


def _crash(how: str, out: Path) -> None:
    if how == "exit":
        os._exit(13)
    if how == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "memory":
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (8 * 1024**3, hard))
        bytearray(16 * 1024**3)
    if how == "disk":
        with (out / "half").open("wb") as file:
            while True:
                file.write(bytes(1024**2))
    if how == "error":
        raise TrainerError("The sleeper was told to fail.")
    raise RuntimeError("The sleeper was told to crash.")
