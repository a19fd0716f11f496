"""The transitions while a job goes well or fails by itself: claimed, reported on, completed, failed."""

import pytest

from jobs import lifecycle
from jobs.lifecycle import ClaimLost, Failure, Report
from jobs.models import Attempt, Job, JobLogLine, TrainedModel
from jobs.services.submission import training_submit
from tests.jobs.conftest import log_of
from tracking import stream
from tracking.models import LogLine, MetricSegment, Run, RunEvent
from tracking.selectors.environments import environment_of
from tracking.stream import LogEntry, Point

pytestmark = pytest.mark.django_db

FAILURE = Failure("the column 'x' is empty", Job.ErrorKind.OWN, {"column": "x"})


def points_of(job):
    return [(m["name"], m["value"]) for m in stream.read(run_id=job.run_id, after=0) if m["type"] == "metric"]


def written(job):
    """Everything that a write about the job would change."""
    tables = (LogLine, MetricSegment, RunEvent, JobLogLine, TrainedModel)
    row = Job.objects.values().get(pk=job.pk)
    run = Run.objects.values().filter(pk=job.run_id).first()
    return row, run, [table.objects.count() for table in tables], list(Attempt.objects.order_by("pk").values())


# --- Claimed ----------------------------------------------------------------------------------------------------------


def test_a_claim_begins_an_attempt_of_the_worker(training, worker):
    attempt = lifecycle.claim_next(queue_names=["sklearn"], worker=worker)
    training.refresh_from_db()
    assert (training.status, training.attempt) == ("running", 1)
    assert (attempt.number, attempt.worker_name) == (1, worker.name)
    stored = Attempt.objects.get(job=training)
    assert (stored.status, stored.worker_id, stored.ended_at) == ("running", worker.pk, None)
    assert abs((lifecycle.database_now() - stored.heartbeat_at).total_seconds()) < 5
    assert training.started_at is not None
    assert Run.objects.get(pk=training.run_id).status == "running"


def test_a_claim_notes_in_the_run_where_it_is_made(training, worker, claim):
    claim(training)
    environment = environment_of(Run.objects.get(pk=training.run_id))["environment"]
    assert environment == {"host": worker.host, "worker": worker.name, **worker.capabilities}


def test_nothing_is_claimed_where_nothing_waits(training, worker):
    assert lifecycle.claim_next(queue_names=["pytorch-2.1"], worker=worker) is None
    lifecycle.cancel(job=training)
    assert lifecycle.claim_next(queue_names=["sklearn"], worker=worker) is None
    assert not Attempt.objects.exists()


def test_a_job_that_was_claimed_since_it_was_looked_at_is_not_claimed_again(training, worker, monkeypatch):
    looked_at = list(Job.objects.filter(pk=training.pk))
    answers = [looked_at, looked_at, []]
    monkeypatch.setattr(lifecycle, "next_pending", lambda queue_names, gpus: answers.pop(0))
    assert lifecycle.claim_next(queue_names=["sklearn"], worker=worker) is not None
    assert lifecycle.claim_next(queue_names=["sklearn"], worker=worker) is None
    assert Attempt.objects.count() == 1


def test_a_stale_look_does_not_claim_a_job_that_has_come_back_meanwhile(training, worker, claim, monkeypatch):
    """Pending again, but a later attempt's: the look is too old to say that this one is next."""
    looked_at = list(Job.objects.filter(pk=training.pk))
    lifecycle.hand_back(attempt=claim(training), job=training, reason="its worker was told to end")
    answers = [looked_at, []]
    monkeypatch.setattr(lifecycle, "next_pending", lambda queue_names, gpus: answers.pop(0))
    assert lifecycle.claim_next(queue_names=["sklearn"], worker=worker) is None
    assert Attempt.objects.count() == 1


def test_where_others_are_faster_at_every_candidate_another_look_is_taken(submit, worker, monkeypatch):
    first, second = submit(), submit()
    gone, waiting = [Job.objects.get(pk=first.pk)], [Job.objects.get(pk=second.pk)]
    lifecycle.cancel(job=first)
    answers = [gone, waiting]
    monkeypatch.setattr(lifecycle, "next_pending", lambda queue_names, gpus: answers.pop(0))
    assert lifecycle.claim_next(queue_names=["sklearn"], worker=worker).job_id == second.pk


def test_a_heartbeat_is_taken_only_while_the_claim_holds(training, claim):
    attempt = claim(training)
    Attempt.objects.filter(pk=attempt.pk).update(heartbeat_at="2020-01-01T00:00:00Z")
    assert lifecycle.heartbeat(attempt=attempt)
    assert lifecycle.holds_claim(attempt=attempt)
    assert Attempt.objects.get(pk=attempt.pk).heartbeat_at.year > 2020
    lifecycle.cancel(job=training)
    assert not lifecycle.heartbeat(attempt=attempt)
    assert not lifecycle.holds_claim(attempt=attempt)


# --- Reported on ------------------------------------------------------------------------------------------------------


def test_a_report_is_stored_whole(training, claim):
    attempt = claim(training)
    entry = Report(
        logs=[LogEntry("WARN", "two rows are missing")],
        points=[Point("loss", 0.5, step=1), Point("loss", float("nan"), step=2), Point("acc", 0.9)],
        progress=0.25,
        message="growing",
    )
    lifecycle.report(attempt=attempt, job=training, entry=entry)
    training.refresh_from_db()
    assert (training.progress, training.message) == (0.25, "growing")
    assert training.metrics == {"loss": "NaN", "acc": 0.9}
    assert points_of(training) == [("loss", 0.5), ("loss", "NaN"), ("acc", 0.9)]
    assert log_of(training) == [("WARN", "two rows are missing")]


@pytest.mark.parametrize(("told", "kept"), [(0.2, 0.5), (0.7, 0.7), (7.0, 1.0), (-1.0, 0.5), (None, 0.5)])
def test_progress_never_goes_back_nor_beyond_one(training, claim, told, kept):
    attempt = claim(training)
    lifecycle.report(attempt=attempt, job=training, entry=Report(progress=0.5))
    lifecycle.report(attempt=attempt, job=training, entry=Report(progress=told))
    training.refresh_from_db()
    assert training.progress == kept


def test_the_last_value_of_each_metric_is_kept_over_reports(training, claim):
    attempt = claim(training)
    for value in (3.0, 2.0):
        lifecycle.report(attempt=attempt, job=training, entry=Report(points=[Point("loss", value)]))
    lifecycle.report(attempt=attempt, job=training, entry=Report(points=[Point("acc", 1.0)]))
    training.refresh_from_db()
    assert training.metrics == {"loss": 2.0, "acc": 1.0}


def test_the_log_of_a_job_without_a_run_is_its_own_and_numbered(inference, claim):
    attempt = claim(inference)
    for number in range(2):
        lines = [LogEntry("INFO", f"{number}a"), LogEntry("INFO", f"{number}b")]
        lifecycle.report(attempt=attempt, job=inference, entry=Report(logs=lines))
    assert list(JobLogLine.objects.values_list("seq", "message")) == [(1, "0a"), (2, "0b"), (3, "1a"), (4, "1b")]


def test_what_a_database_cannot_hold_is_replaced_in_a_jobs_own_log(inference, claim):
    attempt = claim(inference)
    lines = [LogEntry("INFO", "a\0b"), LogEntry("INFO", "half \ud83d"), LogEntry("INFO", "x" * 1_000_000)]
    lifecycle.report(attempt=attempt, job=inference, entry=Report(logs=lines, message="c\0d"))
    kept = [message for _, message in log_of(inference)]
    assert kept[0] == "a\N{REPLACEMENT CHARACTER}b"
    assert kept[1].startswith("half ")
    assert len(kept[2]) <= 10_000
    inference.refresh_from_db()
    assert inference.message == "c\N{REPLACEMENT CHARACTER}d"


# --- Completed --------------------------------------------------------------------------------------------------------


def trained(job):
    return TrainedModel(
        public_id=job.model_public_id,
        job=job,
        owner=job.owner,
        project=job.project,
        run_id=job.run_id,
        dataset=job.dataset,
        name="forest",
        model_type=job.model_type,
        framework="sklearn",
    )


def test_completing_writes_the_result_the_model_and_the_last_words(training, claim):
    attempt, published = claim(training), []
    final = Report(logs=[LogEntry("INFO", "done")], points=[Point("acc", 0.75)], message="in the end")
    lifecycle.complete(
        attempt=attempt,
        job=training,
        result={"framework": "sklearn"},
        model=trained(training),
        final=final,
        publish=lambda: published.append(Job.objects.get(pk=training.pk).status),
    )
    training.refresh_from_db()
    assert (training.status, training.progress, training.message) == ("completed", 1.0, "in the end")
    assert (training.result, training.metrics) == ({"framework": "sklearn"}, {"acc": 0.75})
    assert training.ended_at is not None
    assert training.trained_model.public_id == training.model_public_id
    assert published == ["completed"]
    assert log_of(training) == [("INFO", "done")]
    assert Attempt.objects.get(pk=attempt.pk).status == "completed"
    run = Run.objects.get(pk=training.run_id)
    assert run.status == "completed" and run.ended_at is not None


def test_last_words_that_were_told_already_stay_when_the_job_is_completed(training, claim):
    attempt = claim(training)
    lifecycle.report(attempt=attempt, job=training, entry=Report(progress=1.0, message="done"))
    lifecycle.complete(attempt=attempt, job=training, result={}, model=trained(training))
    training.refresh_from_db()
    assert (training.status, training.message) == ("completed", "done")


def test_where_publishing_fails_nothing_is_completed(training, claim):
    attempt = claim(training)

    def publish():
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        lifecycle.complete(attempt=attempt, job=training, result={}, model=trained(training), publish=publish)
    training.refresh_from_db()
    assert (training.status, training.result) == ("running", None)
    assert not TrainedModel.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_data_set_and_a_run_that_were_deleted_during_the_training_do_not_lose_the_model(user, worker, files_root):
    from io import BytesIO

    from datasets_app.services import dataset_purge, dataset_trash, dataset_upload

    dataset = dataset_upload(owner=user, file=BytesIO(b"a,b\n1,2\n3,4\n"), filename="a.csv")
    job = training_submit(user=user, model_type="noop", data_path=dataset.public_id)
    attempt = lifecycle.claim_next(queue_names=["sklearn"], worker=worker)
    held = Job.objects.select_related("owner", "project", "dataset", "run").get(pk=job.pk)  # as a worker holds it
    dataset_trash(user=user, dataset=dataset)
    dataset_purge(user=user, dataset=dataset)
    Run.objects.filter(pk=job.run_id).delete()
    final = Report(logs=[LogEntry("INFO", "done")], points=[Point("acc", 1.0)])
    lifecycle.complete(attempt=attempt, job=held, result={}, model=trained(held), final=final)
    job.refresh_from_db()
    assert job.status == "completed"
    assert (job.trained_model.dataset_id, job.trained_model.run_id) == (None, None)


# --- Failed -----------------------------------------------------------------------------------------------------------


def test_failing_says_why_everywhere_and_is_not_tried_again(training, claim):
    attempt = claim(training)
    lifecycle.fail(attempt=attempt, job=training, failure=FAILURE, logs=[LogEntry("INFO", "row 1")])
    training.refresh_from_db()
    assert (training.status, training.error, training.error_kind) == ("failed", FAILURE.message, "own")
    assert training.error_details == {"column": "x"}
    assert training.ended_at is not None
    assert log_of(training) == [("INFO", "row 1"), ("ERROR", FAILURE.message)]
    stored = Attempt.objects.get(pk=attempt.pk)
    assert (stored.status, stored.reason) == ("failed", FAILURE.message)
    run = Run.objects.get(pk=training.run_id)
    assert (run.status, run.status_reason) == ("failed", FAILURE.message)
    assert not Job.objects.filter(status="pending").exists()


def test_a_failure_is_told_even_in_words_that_a_database_cannot_hold(training, claim):
    attempt = claim(training)
    lifecycle.fail(attempt=attempt, job=training, failure=Failure("column 'a\0\ud83d' is empty", "own"))
    training.refresh_from_db()
    assert training.status == "failed"
    assert training.error.startswith("column 'a\N{REPLACEMENT CHARACTER}")
    assert training.error.endswith("' is empty")


# --- Without the claim ------------------------------------------------------------------------------------------------

WRITES = {
    "report": lambda attempt, job: lifecycle.report(
        attempt=attempt, job=job, entry=Report(logs=[LogEntry("INFO", "?")], points=[Point("a", 1)], progress=0.9)
    ),
    "complete": lambda attempt, job: lifecycle.complete(
        attempt=attempt, job=job, result={"x": 1}, model=trained(job), publish=lambda: pytest.fail("published")
    ),
    "fail": lambda attempt, job: lifecycle.fail(attempt=attempt, job=job, failure=FAILURE),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("how", ["cancelled", "handed on", "handed back", "completed"])
def test_who_has_lost_the_claim_writes_nothing(training, claim, write, how):
    attempt = claim(training)
    if how == "cancelled":
        lifecycle.cancel(job=training)
    elif how == "completed":
        lifecycle.complete(attempt=attempt, job=training, result={})
    else:
        lifecycle.hand_back(attempt=attempt, job=training, reason="its worker was told to end")
        if how == "handed on":
            assert claim(training).number == 2
    before = written(training)
    with pytest.raises(ClaimLost):
        WRITES[write](attempt, training)
    assert written(training) == before
    assert not lifecycle.hand_back(attempt=attempt, job=training, reason="?")
    assert not lifecycle.lose(attempt=attempt, job=training, reason="?")
    assert written(training) == before


@pytest.mark.parametrize("write", WRITES)
def test_writing_about_a_deleted_job_is_a_lost_claim(training, claim, write):
    attempt = claim(training)
    Job.objects.filter(pk=training.pk).delete()
    with pytest.raises(ClaimLost):
        WRITES[write](attempt, training)
    assert not lifecycle.lose(attempt=attempt, job=training, reason="?")
    assert not lifecycle.hand_back(attempt=attempt, job=training, reason="?")
    assert not lifecycle.cancel(job=training)
    assert not TrainedModel.objects.exists()
