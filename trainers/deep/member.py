"""One process of a training by several, started by torchrun (`trainers.deep.launch`)."""

import dataclasses
import datetime
import json
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from trainers import registry
from trainers.deep import launch
from trainers.deep.group import NothingLeft, PartTooLarge
from trainers.files import write_bytes_atomically
from trainers.protocol import Reporter, Stopped, TrainerError

LONGEST_WAIT = datetime.timedelta(days=1)  # of the others, while the first process evaluates


class SilentReporter:
    """Of all processes but the first, which tells for them."""

    def __init__(self, checkpoint: Path, scratch: Path | None) -> None:
        self.folder, self.scratch = checkpoint, scratch

    def log(self, level: str, message: str) -> None:
        pass

    def metrics(self, values: dict[str, float], step: int | None = None) -> None:
        pass

    def progress(self, fraction: float, message: str = "") -> None:
        pass

    def checkpoint(self) -> Path:
        return self.folder

    def should_stop(self) -> bool:
        return self.scratch is not None and (self.scratch / launch.STOP).exists()


class PipeReporter(SilentReporter):
    """Writes each call into the pipe that the launcher reads, a JSON line a call."""

    def __init__(self, checkpoint: Path, scratch: Path) -> None:
        super().__init__(checkpoint, scratch)
        self._pipe = (scratch / launch.EVENTS).open("wb", buffering=0)
        self._lock = threading.Lock()

    def log(self, level: str, message: str) -> None:
        self._tell("log", level, message)

    def metrics(self, values: dict[str, float], step: int | None = None) -> None:
        self._tell("metrics", values, step)

    def progress(self, fraction: float, message: str = "") -> None:
        self._tell("progress", fraction, message)

    def _tell(self, name: str, *arguments: Any) -> None:
        line = json.dumps([name, arguments], default=float).encode() + b"\n"
        with self._lock:
            while line:  # a line longer than the pipe has room is taken in pieces
                line = line[self._pipe.write(line) :]


def main() -> int:
    """Train with the others. What came of it lies in the launcher's folder, in a file of this process."""
    launch.die_with_parent()
    distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=LONGEST_WAIT)
    rank = distributed.get_rank()
    # A machine that has joined knows no folder of the launcher's.
    scratch = Path(os.environ[launch.SCRATCH]) if launch.SCRATCH in os.environ else None
    spec = _shared_spec(scratch if rank == 0 else None)
    checkpoint = Path(spec["checkpoint"])
    reporter: Reporter = (
        PipeReporter(checkpoint, scratch) if rank == 0 and scratch is not None else SilentReporter(checkpoint, scratch)
    )
    outcome = _outcome(spec, reporter)
    if scratch is not None:
        write_bytes_atomically(scratch / f"outcome-{rank:04d}.json", json.dumps(outcome, default=str).encode())
    if outcome["kind"] not in ("result", "nothing_left", "stopped"):
        return 1  # without waiting for the others: torchrun ends them
    distributed.destroy_process_group()
    return 0


def _shared_spec(scratch: Path | None) -> dict[str, Any]:
    """What is to be trained: read by the first process, and sent to all."""
    written = (scratch / launch.SPEC).read_bytes() if scratch is not None else b""
    length = torch.tensor([len(written)])
    distributed.broadcast(length, 0)
    content = torch.tensor(list(written), dtype=torch.uint8) if written else torch.empty(int(length), dtype=torch.uint8)
    distributed.broadcast(content, 0)
    spec: dict[str, Any] = json.loads(bytes(content.tolist()))
    return spec


def _outcome(spec: dict[str, Any], reporter: Reporter) -> dict[str, Any]:
    try:
        result = registry.train(spec["model_type"], spec["config"], Path(spec["data"]), Path(spec["out"]), reporter)
    except NothingLeft:
        return {"kind": "nothing_left"}
    except Stopped:
        return {"kind": "stopped"}
    except PartTooLarge as error:
        return {"kind": "part_too_large", "part": error.part}
    except TrainerError as error:
        details = {"message": error.message, "details": error.details}
        return {"kind": "refused", "type": type(error).__name__, **details}
    except ImportError as error:
        traceback.print_exc()
        is_missing = isinstance(error, ModuleNotFoundError)
        return {"kind": "lacking", "message": str(error)[:2000], "name": error.name, "is_missing": is_missing}
    except Exception as error:  # noqa: BLE001  (the launcher raises it again, in the process that knows what to do)
        traceback.print_exc()
        return {"kind": "broken", "message": f"{type(error).__name__}: {error}"[:2000]}
    return {"kind": "result", "result": dataclasses.asdict(result)}


if __name__ == "__main__":
    sys.exit(main())
