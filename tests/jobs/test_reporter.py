"""What a trainer says on its way into the database: complete, in order, bounded, and only while the claim holds."""

import os

import pytest
from django.db import OperationalError

from jobs import lifecycle, reporter
from jobs.models import Attempt, Job
from jobs.reporter import DatabaseReporter, Output, StopFlag
from jobs.workspace import prepare
from tests.conftest import wait_until
from tests.jobs.conftest import log_of
from tracking import stream

pytestmark = pytest.mark.django_db(transaction=True)  # it writes from a thread, over a connection of its own


@pytest.fixture(autouse=True)
def _quick(monkeypatch, settings):
    monkeypatch.setattr(reporter, "FLUSH_SECONDS", 0.01)
    settings.JOBS = {**settings.JOBS, "stop_grace": 3600.0}  # a zombie would end this very process


@pytest.fixture
def attempt(training, claim) -> Attempt:
    return claim(training)


@pytest.fixture
def stop() -> StopFlag:
    return StopFlag()


@pytest.fixture
def said(training, attempt, stop):
    """A reporter that is writing."""
    here = DatabaseReporter(attempt=attempt, job=training, workspace=prepare(training.pk, attempt.number), stop=stop)
    here.start()
    yield here
    here.close()


def points_of(job):
    messages = stream.read(run_id=job.run_id, after=0)
    return [(m["name"], m["value"], m["step"]) for m in messages if m["type"] == "metric"]


def metrics_of(job):
    return Job.objects.get(pk=job.pk).metrics


def test_what_is_said_is_written_in_its_order(training, said):
    for number in range(50):
        said.log("INFO", f"line {number}")
        said.metrics({"loss": number / 2}, step=number)
    said.progress(0.5, "half way")
    wait_until(lambda: Job.objects.get(pk=training.pk).progress == 0.5, what="the progress")
    said.close()
    assert [message for _, message in log_of(training)] == [f"line {number}" for number in range(50)]
    assert points_of(training) == [("loss", number / 2, number) for number in range(50)]
    training.refresh_from_db()
    assert (training.metrics, training.message) == ({"loss": 24.5}, "half way")


def test_the_first_line_is_not_kept_waiting(training, said):
    said.log("INFO", "hello")
    wait_until(lambda: log_of(training), what="the line")
    assert log_of(training) == [("INFO", "hello")]


@pytest.mark.parametrize(
    ("level", "kept"),
    [("info", "INFO"), ("DEBUG", "INFO"), ("warning", "WARN"), ("Critical", "ERROR"), ("?", "INFO"), (5, "INFO")],
)
def test_levels_are_those_of_the_log(training, said, level, kept):
    said.log(level, "x")
    wait_until(lambda: log_of(training), what="the line")
    assert log_of(training) == [(kept, "x")]


def test_numbers_that_json_lacks_are_metrics_too(training, said):
    said.metrics({"loss": float("nan"), "up": float("inf"), "down": float("-inf")}, step=1)
    wait_until(lambda: metrics_of(training), what="the metrics")
    assert metrics_of(training) == {"loss": "NaN", "up": "Infinity", "down": "-Infinity"}
    assert points_of(training) == [("loss", "NaN", 1), ("up", "Infinity", 1), ("down", "-Infinity", 1)]
    assert said.reported == {"loss", "up", "down"}


def test_progress_that_makes_no_sense_is_left_out(training, said):
    for fraction in (0.5, float("nan"), float("inf"), -3.0, 0.25):
        said.progress(fraction)
    wait_until(lambda: Job.objects.get(pk=training.pk).progress, what="the progress")
    said.close()
    assert Job.objects.get(pk=training.pk).progress == 0.5


def test_long_lines_and_odd_characters_are_bounded_and_replaced(training, said):
    said.log("INFO", "x" * 1_000_000)
    said.log("INFO", "a\0b \ud83d 🌳")
    said.progress(0.1, "c\0" + "d" * 1000)
    said.metrics({"n\0" + "m" * 1000: 1.0})
    wait_until(lambda: metrics_of(training), what="the metrics")
    said.close()
    long, odd = [message for _, message in log_of(training)]
    assert len(long) < 4100 and long.endswith("… (1000000 characters)")
    assert "\0" not in odd and odd.endswith("🌳")
    assert len(Job.objects.get(pk=training.pk).message) == 500
    assert [len(name) for name in metrics_of(training)] == [250]


class Broken:
    def __float__(self):
        raise RuntimeError("a tensor of many elements")


@pytest.mark.parametrize(
    ("name", "value", "step", "why"),
    [
        ("", 1.0, 1, "A metric's name has 1 to 250 characters, not 0."),
        ("a", 1.0, 2**62 + 1, "A step must lie between -2^62 and 2^62."),
        ("a", 1.0, float("nan"), "Its step is no whole number."),
        ("a", 1.0, "first", "Its step is no whole number."),
        ("a", None, 1, "Its value, of type NoneType, makes no 64-bit float."),
        ("a", "good", 1, "Its value, of type str, makes no 64-bit float."),
        ("a", 10**400, 1, "Its value, of type int, makes no 64-bit float."),
        ("a", [1.0], 1, "Its value, of type list, makes no 64-bit float."),
        ("a", Broken(), 1, "Its value, of type Broken, makes no 64-bit float."),
    ],
)
def test_of_a_report_only_the_point_that_cannot_be_kept_is_left_out(training, said, name, value, step, why):
    said.log("INFO", "before")
    said.metrics({name: value}, step=step)
    said.metrics({"loss": 0.5, name: value, "size": 7}, step=3 if step == 1 else None)
    said.progress(0.5)
    wait_until(lambda: Job.objects.get(pk=training.pk).progress == 0.5, what="the progress")
    said.close()
    assert metrics_of(training) == {"loss": 0.5, "size": 7.0} | ({"a": 1.0} if step != 1 else {})
    assert log_of(training)[0] == ("INFO", "before")
    (warning,) = [message for level, message in log_of(training) if level == "WARN"]
    assert warning == f"Points of the metric '{name}' are left out: {why}"


def test_metrics_without_end_that_cannot_be_kept_do_not_fill_the_log(training, said, monkeypatch):
    monkeypatch.setattr(reporter, "MAX_REFUSED", 3)
    for number in range(10):
        said.metrics({f"m{number}": None}, step=number)
        said.metrics({"m0": None}, step=number)
    said.progress(0.5)
    wait_until(lambda: Job.objects.get(pk=training.pk).progress == 0.5, what="the progress")
    said.close()
    assert [message.partition(" are")[0] for _, message in log_of(training)] == [
        f"Points of the metric 'm{number}'" for number in range(3)
    ]


def test_a_report_that_is_refused_does_not_silence_what_follows(training, said, caplog, monkeypatch):
    def refuse(**order):
        monkeypatch.undo()
        raise ValueError("a bug")

    monkeypatch.setattr(lifecycle, "report", refuse)
    said.metrics({"a": 1.0})
    wait_until(lambda: "was not written" in caplog.text, what="the refusal")
    said.log("INFO", "and on it goes")
    wait_until(lambda: log_of(training), what="the next line")
    assert log_of(training) == [("INFO", "and on it goes")]


def test_what_was_not_written_yet_is_returned_at_the_end(training, attempt, stop):
    silent = DatabaseReporter(attempt=attempt, job=training, workspace=prepare(training.pk, 1), stop=stop)
    silent.log("INFO", "last words")  # its thread was never started
    silent.metrics({"a": 1.0})
    silent.progress(0.9, "nearly")
    rest = silent.close()
    assert [line.message for line in rest.logs] == ["last words"]
    assert [(point.name, point.value) for point in rest.points] == [("a", 1.0)]
    assert (rest.progress, rest.message) == (0.9, "nearly")
    silent.log("INFO", "and more")
    assert [line.message for line in silent.close().logs] == ["last words", "and more"]


# --- Outages and lost claims ------------------------------------------------------------------------------------------


def test_while_the_database_is_away_everything_waits_and_comes_whole(training, said, monkeypatch):
    refusals, report = [], lifecycle.report

    def refuse(**order):
        if len(refusals) < 3:
            refusals.append(order)
            raise OperationalError("away")
        report(**order)

    monkeypatch.setattr(lifecycle, "report", refuse)
    said.log("INFO", "first")
    wait_until(lambda: refusals, what="a refusal")
    said.log("INFO", "second")
    wait_until(lambda: len(log_of(training)) == 2, what="both lines")
    assert [message for _, message in log_of(training)] == ["first", "second"]


def test_what_is_too_much_during_an_outage_is_dropped_from_the_oldest_and_counted(training, attempt, stop, monkeypatch):
    monkeypatch.setattr(reporter, "MAX_LINES", 3)
    monkeypatch.setattr(reporter, "MAX_POINTS", 2)
    silent = DatabaseReporter(attempt=attempt, job=training, workspace=prepare(training.pk, 1), stop=stop)
    for number in range(5):
        silent.log("INFO", str(number))
        silent.metrics({"a": float(number)})
    rest = silent.close()
    dropped = "5 lines and points were dropped: more came than could be written"
    assert [line.message for line in rest.logs] == ["2", "3", "4", dropped]
    assert [point.value for point in rest.points] == [3.0, 4.0]


def test_who_has_lost_the_claim_writes_nothing_and_is_told_to_stop(training, said, stop):
    assert not said.should_stop()
    lifecycle.cancel(job=training)
    before = Job.objects.values().get(pk=training.pk)
    said.log("INFO", "still here")
    said.progress(0.9)
    wait_until(said.should_stop, what="the flag")
    assert stop.reason == StopFlag.CLAIM_LOST
    said.close()
    assert Job.objects.values().get(pk=training.pk) == before
    assert [message for _, message in log_of(training)] == ["Job cancelled by user"]


def test_a_zombie_that_does_not_look_ends_its_process_after_the_grace(training, said, settings, monkeypatch):
    ends = []
    monkeypatch.setattr(reporter.os, "_exit", ends.append)
    settings.JOBS = {**settings.JOBS, "stop_grace": 0.05}
    lifecycle.cancel(job=training)
    said.log("INFO", "still here")
    wait_until(lambda: ends, what="the end of the process")
    assert ends == [0]


def test_the_first_reason_to_stop_stands(stop):
    assert stop.reason == StopFlag.NO
    stop.set(StopFlag.TIMEOUT)
    stop.set(StopFlag.CLAIM_LOST)
    assert stop.reason == StopFlag.TIMEOUT


def test_a_forked_child_sees_why_it_is_to_stop(stop):
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(read_end, 1)
        os._exit(stop.reason)
    stop.set(StopFlag.HAND_BACK)
    os.write(write_end, b"!")
    _, status = os.waitpid(child, 0)
    assert os.WEXITSTATUS(status) == StopFlag.HAND_BACK
    os.close(read_end)
    os.close(write_end)


# --- What libraries print ---------------------------------------------------------------------------------------------


@pytest.fixture
def printed(tmp_path):
    """(an Output, the file descriptor to print to)."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    yield Output(tmp_path / "stdout", descriptor, "INFO"), descriptor
    os.close(descriptor)


def test_lines_come_when_they_are_whole(printed):
    output, descriptor = printed
    os.write(descriptor, b"one\ntwo\n\n   \nthr")
    assert output.lines() == ["one", "two"]
    assert output.lines() == []
    os.write(descriptor, b"ee\r\nfo\xff")
    assert output.lines() == ["three"]
    assert output.lines(last=True) == ["fo\N{REPLACEMENT CHARACTER}"]
    assert output.lines(last=True) == []


def test_of_a_progress_bar_the_last_state_is_kept(printed):
    output, descriptor = printed
    os.write(descriptor, b" 10%\r 50%\r100%\nnext\n")
    assert output.lines() == ["100%", "next"]


def test_a_line_without_an_end_does_not_grow_for_ever(printed):
    output, descriptor = printed
    for _ in range(5):
        os.write(descriptor, b"x" * 60_000)
    lengths = [len(line) for _ in range(5) for line in output.lines()]
    assert sum(lengths) > 200_000
    assert max(lengths) < 200_000


def test_the_file_of_what_was_printed_is_emptied_now_and_then(printed, tmp_path, monkeypatch):
    monkeypatch.setattr(reporter, "_OUTPUT_FILE", 1000)
    output, descriptor = printed
    for number in range(30):
        os.write(descriptor, f"{number}: {'x' * 100}\n".encode())
        assert output.lines() == [f"{number}: {'x' * 100}"]
    assert (tmp_path / "stdout").stat().st_size < 1200


def test_of_very_much_at_last_the_end_is_kept(printed, monkeypatch):
    monkeypatch.setattr(reporter, "_OUTPUT_FILE", 1000)
    output, descriptor = printed
    os.write(descriptor, b"chatter\n" * 50_000 + b"the reason")
    lines = output.lines(last=True)
    assert lines[-1] == "the reason"
    assert len(lines) < 130
    assert output.lines(last=True) == []


@pytest.fixture
def redirected():
    """File descriptors 1 and 2 are put back after the test."""
    kept = [os.dup(1), os.dup(2)]
    yield
    for number, descriptor in enumerate(kept, 1):
        os.dup2(descriptor, number)
        os.close(descriptor)


def test_everything_printed_before_the_end_is_in_the_log(training, attempt, stop, redirected):
    """However much it is: a traceback's last line is what matters most."""
    here = DatabaseReporter(attempt=attempt, job=training, workspace=prepare(training.pk, 1), stop=stop)
    here.capture_output()
    text = b"".join(b"%d: %s\n" % (number, b"x" * 200) for number in range(2000))
    assert os.write(2, text + b"RuntimeError: the reason") == len(text) + 24
    lines = here.close().logs
    assert len(lines) == 2001
    assert (lines[-1].level, lines[-1].message) == ("WARN", "RuntimeError: the reason")


def test_what_is_printed_without_end_is_cut(training, attempt, stop, redirected, monkeypatch):
    monkeypatch.setattr(reporter, "MAX_OUTPUT_LINES", 10)
    here = DatabaseReporter(attempt=attempt, job=training, workspace=prepare(training.pk, 1), stop=stop)
    here.capture_output()
    os.write(1, b"chatter\n" * 1000)
    here.log("INFO", "the trainer's own line")
    lines = [line.message for line in here.close().logs]
    assert lines.count("chatter") == 9
    assert "More than 10 lines were printed; the rest is not kept." in lines
    assert "the trainer's own line" in lines
