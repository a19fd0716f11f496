"""Why work failed, in words for the user, and what follows: the job fails, or is tried again elsewhere."""

import errno
import logging
import math
import os
import re
import secrets
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis
from django.db import InterfaceError, OperationalError

from automl_site.disk import causes, is_disk_full
from automl_site.errors import DomainError, InvalidSpec, StorageError, Unavailable
from jobs.lifecycle import Failure
from jobs.models import Job
from trainers.protocol import ModelProblem, TrainerError

logger = logging.getLogger(__name__)

# What libraries raise, and say, where Python itself would raise MemoryError.
_MEMORY_TYPES = frozenset({"OutOfMemoryError", "ResourceExhaustedError"})
_MEMORY_WORDS = re.compile(
    r"out of memory|(can't|cannot|unable to) allocate|not enough memory|shared memory", re.IGNORECASE
)
# … and where a process that they had started was killed.
_KILLED_WORDS = re.compile(r"killed by signal: Killed|exited unexpectedly|terminated abruptly|SIGKILL")
_LESS = "use less data, smaller batches or a smaller model."
_LOOKED_AT = 2_000  # characters of what an exception says
_TOLD = 300  # … of those that a user is told
# Exit status of a child whose trainer stopped early, as it was asked to (EX_TEMPFAIL).
EXIT_STOPPED = 75
# … of a child whose job was lost for what this worker lacks (EX_UNAVAILABLE).
EXIT_LACKING = 69
# … of a child that could not write down its end: an outage that lasted, or a bug in the runner itself (EX_SOFTWARE).
EXIT_BROKEN = 70
_SIGNAL_WORDS = {
    signal.SIGSEGV: "a segmentation fault in native code",
    signal.SIGBUS: "a bus error in native code, as of a mapped file on a full disk",
    signal.SIGABRT: "native code aborted",
    signal.SIGFPE: "an arithmetic error in native code",
    signal.SIGILL: "an instruction that this processor does not know",
}


@dataclass(frozen=True)
class Lost:
    """The attempt was lost with its infrastructure, in words: the job is tried again.

    `elsewhere`: this worker would lose it again, for what it lacks; another one may have that.
    """

    reason: str
    elsewhere: bool = False


@dataclass(frozen=True)
class Ended:
    """How a child process ended."""

    status: int  # as waitpid gives it
    peak_bytes: int = 0
    oom_killed: bool = False  # the kernel killed some process for want of memory while the child lived

    @property
    def exit_code(self) -> int | None:
        return os.WEXITSTATUS(self.status) if os.WIFEXITED(self.status) else None


def of_exception(error: BaseException, *, what: str, oom_killed: bool = False) -> Failure | Lost:
    """What an exception that ended `what` ("the training", "the prediction") means for its job.

    `oom_killed`: the kernel killed some process of this machine for want of memory meanwhile.
    """
    # The words of a foreseen failure may quote the user's.
    if is_disk_full(error.__cause__ or error.__context__ if isinstance(error, TrainerError) else error):
        return Failure(
            f"The disk of the machine that ran {what} is full ({os.uname().nodename}); "
            "free some space there, then run the job again.",
            Job.ErrorKind.INFRASTRUCTURE,
        )
    if lacking := _lacking(error):
        logger.error("%s ended for what this worker lacks", what.capitalize(), exc_info=error)
        return Lost(f"the worker on {os.uname().nodename} {lacking}", elsewhere=True)
    # A model that could not be loaded for want of memory looks damaged to who loads it.
    if isinstance(error, TrainerError) and not (isinstance(error, ModelProblem) and is_out_of_memory(error)):
        return Failure(error.message, Job.ErrorKind.OWN, json_safe(error.details))
    if isinstance(error, StorageError | Unavailable):
        return Lost(error.message)
    if isinstance(error, OperationalError | InterfaceError | redis.ConnectionError | redis.TimeoutError):
        logger.error("The database or Redis was away for longer than %s waits", what, exc_info=error)
        return Lost("the database or Redis was away for too long")
    if isinstance(error, InvalidSpec):
        return Failure(error.first_sentence(), Job.ErrorKind.OWN, json_safe(error.details))
    if isinstance(error, DomainError):
        return Failure(error.message, Job.ErrorKind.OWN, json_safe(error.details))
    if is_out_of_memory(error):
        memory = "GPU memory" if _is_of_gpu(error) else "memory"
        return _too_little_memory(f"{what.capitalize()} needed more {memory} than there is; {_LESS}")
    if isinstance(error, RuntimeError) and _KILLED_WORDS.search(_text(error)):
        if not oom_killed:
            return Lost(f"a process that {what} had started was killed from outside")
        return _too_little_memory(
            f"A process that {what} had started was killed by the system, probably out of memory; {_LESS}"
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
            return Lost(
                f"the process of {what} was killed from outside (signal 9), having taken "
                f"{_gigabytes(ended.peak_bytes)} of memory"
            )
        return _too_little_memory(
            f"{what.capitalize()} was killed by the system, probably out of memory: its process had taken "
            f"{_gigabytes(ended.peak_bytes)}; {_LESS}",
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


def _lacking(error: BaseException) -> str:
    """What the failed import of a package says of the worker; "" for any other error.

    A trainer may have told it in words of its own: libraries import others only when they need them.
    """
    failed = next((each for each in (error, error.__cause__) if isinstance(each, ImportError)), None)
    if failed is None or is_out_of_memory(failed):
        return ""
    if isinstance(failed, ModuleNotFoundError) and failed.name:
        return f"lacks the Python package {failed.name}; install it there"
    # Of a broken package an ImportError may say where on the machine it lies, which is not for users.
    said = next((line.strip() for line in _text(failed).splitlines() if line.strip()), "")
    told = f": {said[:_TOLD]}" if said and "/" not in said else ""
    return f"cannot import what it needs{told}; its log has the particulars"


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether the error came from a lack of memory, of the machine or of its GPU."""
    return any(_says_out_of_memory(each) for each in causes(error))


def _says_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ in _MEMORY_TYPES:
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError) and bool(_MEMORY_WORDS.search(_text(error)))


def _is_of_gpu(error: BaseException) -> bool:
    return any(word in _text(each) for each in causes(error) for word in ("CUDA", "GPU", "HIP"))


def _text(error: BaseException) -> str:
    return str(error)[:_LOOKED_AT]


def _too_little_memory(sentence: str, details: Mapping[str, Any] | None = None) -> Failure:
    return Failure(sentence, Job.ErrorKind.OWN, details)


def _gigabytes(count: int) -> str:
    return f"{count / 1024**3:.1f} GiB"
