"""Why work failed, in words for the user, and what follows: the job fails, or is tried again elsewhere."""

import errno
import logging
import math
import os
import secrets
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from automl_site.errors import DomainError, InvalidSpec, StorageError, Unavailable
from jobs.lifecycle import Failure
from jobs.models import Job
from trainers.protocol import TrainerError

logger = logging.getLogger(__name__)

# Exit status of a child whose trainer stopped early, as it was asked to (EX_TEMPFAIL).
EXIT_STOPPED = 75
# … of a child that could not write down its end: an outage that lasted, or a bug in the runner itself (EX_SOFTWARE).
EXIT_BROKEN = 70
_SIGNAL_WORDS = {
    signal.SIGSEGV: "a segmentation fault in native code",
    signal.SIGBUS: "a bus error in native code",
    signal.SIGABRT: "native code aborted",
    signal.SIGFPE: "an arithmetic error in native code",
    signal.SIGILL: "an instruction that this processor does not know",
}


@dataclass(frozen=True)
class Lost:
    """The attempt was lost with its infrastructure, in words: the job is tried again."""

    reason: str


@dataclass(frozen=True)
class Ended:
    """How a child process ended."""

    status: int  # as waitpid gives it
    peak_bytes: int = 0
    oom_killed: bool = False  # the kernel killed some process for want of memory while the child lived

    @property
    def exit_code(self) -> int | None:
        return os.WEXITSTATUS(self.status) if os.WIFEXITED(self.status) else None


def of_exception(error: BaseException, *, what: str) -> Failure | Lost:
    """What an exception that ended `what` ("the training", "the prediction") means for its job."""
    if is_disk_full(error):
        return Failure(
            f"The disk of the machine that ran {what} is full ({os.uname().nodename}); "
            "free some space there, then run the job again.",
            Job.ErrorKind.INFRASTRUCTURE,
        )
    if isinstance(error, TrainerError):
        return Failure(error.message, Job.ErrorKind.OWN, json_safe(error.details))
    if isinstance(error, StorageError | Unavailable):
        return Lost(error.message)
    if isinstance(error, InvalidSpec):
        return Failure(error.first_sentence(), Job.ErrorKind.OWN, json_safe(error.details))
    if isinstance(error, DomainError):
        return Failure(error.message, Job.ErrorKind.OWN, json_safe(error.details))
    if isinstance(error, MemoryError):
        return Failure(
            f"{what.capitalize()} needed more memory than there is; use less data or a smaller model.",
            Job.ErrorKind.OWN,
        )
    error_id = secrets.token_hex(6)
    logger.error("Error %s ended %s", error_id, what, exc_info=error)
    return Failure(
        f"{what.capitalize()} stopped at an unforeseen error (error id {error_id}). "
        "The server's log has the particulars under this id.",
        Job.ErrorKind.INTERNAL,
        {"error_id": error_id},
    )


def of_exit(ended: Ended, *, what: str) -> Failure | Lost:
    """What it means that a child ended without having ended its job.

    A crash of native code or an exit of its own is the job's fault and would come again. SIGKILL is ambiguous: the
    kernel sends it to who asks for too much memory (the job's own fault), an operator or a machine going down to
    anybody (lost infrastructure). The kernel counts the processes that it killed for want of memory, by machine and by
    control group; only where one of these counters rose while the child lived it is the job's memory.
    """
    if ended.exit_code is not None:
        if ended.exit_code == EXIT_STOPPED:
            return Lost(f"{what} was told to end from outside the platform")
        if ended.exit_code == EXIT_BROKEN:
            return Lost(f"the process of {what} broke down")
        return Failure(
            f"{what.capitalize()} ended its own process (exit status {ended.exit_code}) without a result.",
            Job.ErrorKind.OWN,
            {"exit_status": ended.exit_code},
        )
    number = os.WTERMSIG(ended.status)
    if number == signal.SIGKILL:
        if not ended.oom_killed:
            return Lost(f"the process of {what} was killed from outside (signal 9)")
        return Failure(
            f"{what.capitalize()} was killed by the system, probably out of memory: its process had taken "
            f"{_gigabytes(ended.peak_bytes)}. Use less data or a smaller model.",
            Job.ErrorKind.OWN,
            {"signal": number, "peak_bytes": ended.peak_bytes},
        )
    if number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        return Lost(f"the process of {what} was told to end from outside (signal {number})")
    words = _SIGNAL_WORDS.get(signal.Signals(number), "") if number in set(signal.Signals) else ""
    return Failure(
        f"{what.capitalize()} ended by signal {number}{f': {words}' if words else ''}.",
        Job.ErrorKind.OWN,
        {"signal": number},
    )


def json_safe(value: Any) -> Any:
    """`value` as JSON can hold it: numbers that JSON lacks become the contracts' strings, other objects their text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable(str(key)): json_safe(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_safe(each) for each in value]
    if hasattr(value, "tolist"):  # a numpy scalar or array
        return json_safe(value.tolist())
    return printable(str(value))


def printable(text: str) -> str:
    """Without what a database's text cannot hold: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def is_disk_full(error: BaseException | None) -> bool:
    """Whether a full disk, or an exhausted quota, is what the error came from."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def _gigabytes(count: int) -> str:
    return f"{count / 1024**3:.1f} GiB"
