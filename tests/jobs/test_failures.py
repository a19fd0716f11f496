"""Why work failed, in words, and what follows; and going on while the database or the file storage is away."""

import errno
import os
import signal
import sqlite3
from contextlib import closing

import numpy as np
import psycopg
import pytest
import redis
from django.db import InterfaceError, OperationalError, ProgrammingError

from automl_site.errors import Forbidden, InvalidSpec, NotFound, StorageError, Unavailable
from datasets_app.storage.base import disk_errors
from jobs import outages
from jobs.failures import EXIT_BROKEN, EXIT_STOPPED, Ended, Lost, json_safe, of_exception, of_exit, printable
from jobs.lifecycle import Failure
from jobs.outages import until_recorded, until_stored
from trainers.protocol import ConfigProblem, DataProblem, ModelProblem, Stopped

WHAT = "the training"
LESS = "use less data, smaller batches or a smaller model."


def raised_from(cause, error):
    error.__cause__ = cause
    return error


def sqlite_full():
    """What SQLite itself raises for a database that may not grow."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("PRAGMA max_page_count=1")
        with pytest.raises(sqlite3.OperationalError) as caught:
            database.execute("CREATE TABLE t (x)")
        return caught.value


@pytest.mark.parametrize(
    ("error", "message", "kind"),
    [
        (DataProblem("Row 3 is empty.", details={"row": 3}), "Row 3 is empty.", "own"),
        (ConfigProblem("n must be 1."), "n must be 1.", "own"),
        (NotFound("The files are gone."), "The files are gone.", "own"),
        (Forbidden(), "Not enough permissions", "own"),
        (InvalidSpec(errors={"data_path": ["x.csv does not exist."]}), "data_path: x.csv does not exist.", "own"),
        (MemoryError(), f"The training needed more memory than there is; {LESS}", "own"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            f"The training needed more memory than there is; {LESS}",
            "own",
        ),
        (
            OSError(errno.ENOMEM, "Cannot allocate memory"),
            f"The training needed more memory than there is; {LESS}",
            "own",
        ),
        (
            RuntimeError("CUDA out of memory. Tried to"),
            f"The training needed more GPU memory than there is; {LESS}",
            "own",
        ),
    ],
)
def test_foreseen_failures_are_the_jobs_own_in_their_own_words(error, message, kind):
    failure = of_exception(error, what=WHAT)
    assert (failure.message, failure.kind) == (message, kind)


@pytest.mark.parametrize("error", [StorageError(), Unavailable("Redis is away.")])
def test_what_the_platform_lacks_for_a_while_is_tried_again(error):
    assert of_exception(error, what=WHAT) == Lost(error.message)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("No module named 'tiktoken'", name="tiktoken"), "lacks the Python package tiktoken;"),
        (
            ImportError("\nT5Tokenizer requires the SentencePiece library.\nSee"),
            "T5Tokenizer requires the SentencePiece",
        ),
        (
            ImportError("cannot import name 'x' from 'torch' (/secret/torch.py)", path="/secret/torch.py"),
            "cannot import what it needs; its log has the particulars",
        ),
        (raised_from(ImportError("no mamba_ssm"), ConfigProblem("The model cannot be built.")), "no mamba_ssm"),
    ],
    ids=["missing", "told by a library", "broken", "told by a trainer"],
)
def test_what_a_worker_lacks_is_tried_elsewhere_and_told_without_its_paths(error, said, caplog):
    end = of_exception(error, what=WHAT)
    assert isinstance(end, Lost) and end.elsewhere
    assert end.reason.startswith(f"the worker on {os.uname().nodename} ") and said in end.reason
    assert "/secret" not in end.reason
    assert "The training ended for what this worker lacks" in caplog.text


def test_a_full_disk_is_named_however_deep_it_lies():
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "/secret/place")
        except OSError as error:
            raise StorageError from error
    except StorageError as error:
        failure = of_exception(error, what=WHAT)
    assert isinstance(failure, Failure)
    assert "is full" in failure.message and os.uname().nodename in failure.message
    assert "/secret" not in failure.message
    assert failure.kind == "infrastructure"


class SafetensorError(Exception):
    """Stands for the one of safetensors, whose library is written in another language."""


SAID_BY_LIBRARIES = [
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    raised_from(sqlite_full(), OperationalError("database or disk is full")),
    raised_from(psycopg.errors.DiskFull("could not extend file"), OperationalError("could not extend file")),
]


@pytest.mark.parametrize("error", SAID_BY_LIBRARIES, ids=lambda error: type(error).__name__)
def test_a_full_disk_is_known_by_what_libraries_say_of_it(error):
    failure = of_exception(error, what=WHAT)
    assert isinstance(failure, Failure)
    assert "is full" in failure.message and failure.kind == "infrastructure"


def test_a_foreseen_failure_that_quotes_the_users_words_is_taken_as_it_is():
    problem = DataProblem('The column "no space left on device: out of memory" is empty.')
    assert of_exception(problem, what=WHAT).message == problem.message


def test_a_model_that_memory_was_too_short_for_is_not_called_damaged():
    problem = raised_from(RuntimeError("can't allocate memory"), ModelProblem("The model's files are damaged."))
    assert (
        of_exception(problem, what="the prediction").message
        == f"The prediction needed more memory than there is; {LESS}"
    )


KILLED = "DataLoader worker (pid 77) is killed by signal: Killed."


def test_a_process_of_the_trainings_own_that_was_killed_is_its_own_fault_only_where_memory_was_short():
    end = of_exception(RuntimeError(KILLED), what=WHAT)
    assert end == Lost("a process that the training had started was killed from outside")
    failure = of_exception(RuntimeError(KILLED), what=WHAT, oom_killed=True)
    assert (failure.kind, "probably out of memory" in failure.message) == ("own", True)


@pytest.mark.parametrize(
    "error", [OperationalError("gone"), InterfaceError("closed"), redis.ConnectionError("refused")]
)
def test_a_database_or_redis_that_was_away_for_too_long_costs_an_attempt_only(error):
    assert isinstance(of_exception(error, what=WHAT), Lost)


def test_any_other_error_gets_an_id_of_its_own(caplog):
    found = [of_exception(KeyError("hunter2"), what="the prediction") for _ in range(2)]
    assert len({each.details["error_id"] for each in found}) == 2
    for failure in found:
        assert failure.kind == "internal"
        assert failure.message.startswith("The prediction stopped at an unforeseen error (error id ")
        assert "hunter2" not in failure.message
        assert failure.details["error_id"] in caplog.text
    assert isinstance(of_exception(SystemExit(3), what=WHAT), Failure)


def exited(code):
    return Ended(status=code << 8)


def signalled(number, **facts):
    return Ended(status=number, **facts)


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (exited(EXIT_STOPPED), "told to end from outside"),
        (exited(EXIT_BROKEN), "broke down"),
        (signalled(signal.SIGKILL, peak_bytes=2**30), "killed from outside (signal 9), having taken 1.0 GiB of memory"),
        (signalled(signal.SIGTERM), "told to end from outside (signal 15)"),
    ],
)
def test_ends_from_outside_lose_the_attempt(ended, words):
    end = of_exit(ended, what=WHAT)
    assert isinstance(end, Lost)
    assert words in end.reason


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        (exited(13), "exit status 13"),
        (exited(0), "exit status 0) without a result"),
        (signalled(signal.SIGSEGV), "signal 11: a segmentation fault in native code."),
        (signalled(signal.SIGABRT), "native code aborted"),
        (signalled(signal.SIGRTMIN + 3), f"ended by signal {signal.SIGRTMIN + 3}."),
        (
            signalled(signal.SIGKILL, oom_killed=True, peak_bytes=3 * 1024**3),
            "its process had taken 3.0 GiB; use less data",
        ),
    ],
)
def test_ends_by_itself_are_the_jobs_own(ended, words):
    end = of_exit(ended, what=WHAT)
    assert isinstance(end, Failure)
    assert words in end.message
    assert end.kind == "own"


def test_json_safe_keeps_what_json_holds_and_words_the_rest():
    value = {
        "nan": float("nan"),
        "inf": [float("inf"), -float("inf")],
        "numpy": (np.float32(0.5), np.int64(3), np.bool_(True), np.float64("nan")),
        "arrays": (np.array([[1.5, np.nan]]), np.array(2), np.array(["a"])),
        5: {1},
        "nested": {"a\0": None, "ok": True, "n": 7},
        "object": errno,
    }
    safe = json_safe(value)
    assert safe["nan"] == "NaN"
    assert safe["inf"] == ["Infinity", "-Infinity"]
    assert safe["numpy"] == [0.5, 3, True, "NaN"]
    assert safe["arrays"] == [[[1.5, "NaN"]], 2, ["a"]]
    assert safe["5"] == [1]
    assert safe["nested"] == {"a\N{REPLACEMENT CHARACTER}": None, "ok": True, "n": 7}
    assert isinstance(safe["object"], str)


def test_printable_text_is_kept_as_it_is():
    assert printable("größer 🌳\n") == "größer 🌳\n"
    assert "\0" not in printable("a\0b")
    assert printable("a\ud83db").encode()


# --- Outages ----------------------------------------------------------------------------------------------------------


class Time:
    """Stands for the module `time`: sleeping takes no time."""

    def __init__(self):
        self.now = 0.0
        self.pauses = []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def time(monkeypatch):
    time = Time()
    monkeypatch.setattr(outages, "time", time)
    monkeypatch.setattr(outages, "forget_connection", lambda: None)
    return time


def failing(times, error):
    left = [error] * times

    def action():
        if left:
            raise left.pop()
        return "done"

    return action


def test_an_action_is_tried_until_the_database_is_back(time, caplog):
    errors = [OperationalError("refused\nIs it running?"), InterfaceError("closed"), OperationalError("")]
    assert until_recorded(lambda: errors and raise_(errors.pop()) or "done", what="the result") == "done"
    assert until_recorded(failing(8, OperationalError("away")), what="the result") == "done"
    assert time.pauses[:3] == time.pauses[3:6] == [0.1, 0.2, 0.4]
    assert max(time.pauses) == 2.0
    assert caplog.text.count("the result is tried again until it is back") == 2


def raise_(error):
    raise error


def test_patience_ends(time):
    with pytest.raises(OperationalError, match="away"):
        until_recorded(failing(1000, OperationalError("away")), what="x", patience=30)
    assert 30 < time.now < 35


def test_who_gives_up_hears_the_error_at_once(time):
    with pytest.raises(OperationalError):
        until_recorded(failing(1000, OperationalError("away")), what="x", give_up=lambda: True)
    assert time.pauses == []


@pytest.mark.parametrize("error", [ProgrammingError("no such table"), ValueError("no")])
def test_a_bug_is_no_outage(time, error):
    with pytest.raises(type(error)):
        until_recorded(failing(1, error), what="x")
    assert time.pauses == []


# --- The storage away -------------------------------------------------------------------------------------------------


def stored(action, **given):
    return until_stored(action, **{"what": "the copy", "patience": 30, "should_stop": lambda: False, **given})


def test_an_action_is_tried_until_the_storage_is_back_and_the_user_is_told_once(time):
    told = []
    assert stored(failing(5, StorageError()), tell=told.append) == "done"
    assert time.pauses == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert told == ["The file storage is not available; the copy is tried again for up to 30 seconds."]


def test_what_holds_a_lock_is_tried_again_only_once_the_storage_answers(time):
    looks, left, tries = [], [StorageError()] * 3, []

    def is_back():
        looks.append(time.now)
        if left:
            raise left.pop()

    def action():
        tries.append(time.now)
        if len(tries) == 1:
            raise StorageError
        return "done"

    assert stored(action, is_back=is_back) == "done"
    assert (len(looks), len(tries)) == (4, 2)


def test_patience_with_the_storage_ends(time):
    with pytest.raises(StorageError):
        stored(failing(1000, StorageError()))
    assert time.now == pytest.approx(30)


def test_no_patience_mends_a_full_disk(time):
    error = StorageError()
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(StorageError):
        stored(failing(1000, error))
    assert time.pauses == []


def test_who_is_asked_to_stop_waits_for_no_storage(time):
    with pytest.raises(Stopped):
        stored(failing(1000, StorageError()), should_stop=lambda: time.now > 1)
    assert time.now < 2


def test_each_try_is_a_line_of_the_log_and_giving_up_shows_where_it_failed(time, caplog):
    def action():
        with disk_errors("putting models/m"):
            raise OSError(errno.EROFS, "Read-only file system")

    with pytest.raises(StorageError):
        stored(action, patience=1)
    *tries, last = caplog.records
    assert len(tries) == len(time.pauses) + 1 >= 4
    sentence = "storage: putting models/m: OSError: [Errno 30] Read-only file system"
    assert {(line.levelname, line.getMessage(), line.exc_info) for line in tries} == {("WARNING", sentence, None)}
    assert (last.levelname, last.getMessage()) == ("ERROR", "The file storage did not come back; the copy is given up")
    assert "OSError: [Errno 30]" in caplog.text.partition("is given up")[2]


def test_what_nobody_tries_again_is_logged_where_it_failed(caplog):
    with pytest.raises(StorageError), disk_errors("putting models/m"):
        raise OSError(errno.EROFS, "Read-only file system")
    (line,) = caplog.records
    assert line.exc_info
