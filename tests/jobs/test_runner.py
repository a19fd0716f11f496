"""One attempt from its claim to its end, in this process: models that come out, and failures in words for the user."""

import os
import signal
from io import BytesIO

import pytest
from django.conf import settings
from django.db import OperationalError

from automl_site.errors import StorageError
from datasets_app.services import dataset_upload
from datasets_app.storage import FolderStorage, get_storage
from datasets_app.storage.base import StagedFolder
from jobs import lifecycle
from jobs.failures import EXIT_LACKING, EXIT_STOPPED
from jobs.models import Attempt, TrainedModel
from jobs.reporter import StopFlag
from jobs.workspace import workspace
from tests.jobs.conftest import TABLE, log_of
from tracking.models import Run
from trainers import noop, registry
from trainers.protocol import Stopped, TrainerError

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("process_as_it_was")]


def raising(error):
    def train(config, data_path, out, reporter):
        raise error

    return train


def test_a_training_that_learns_leaves_a_model_that_answers(submit, run):
    job = submit(
        model_type="random_forest",
        hyperparameters={"n_estimators": 10, "target": "kind", "n_jobs": 1},
        description="Trees that know tall from short",
    )
    status, job = run(job)
    assert (status, job.status, job.error) == (0, "completed", "")
    assert job.progress == 1.0
    assert job.result["model_id"] == job.model_public_id
    assert job.result["model_path"] == f"/models/{job.model_public_id}"
    assert (job.result["framework"], job.result["device"]) == ("sklearn", "cpu")
    assert job.result["metrics"]["accuracy"] == 1.0
    assert job.result["metrics"]["training_time"] > 0
    assert job.metrics["accuracy"] == 1.0

    model = TrainedModel.objects.get(job=job)
    assert (model.public_id, model.name) == (job.model_public_id, "Trees that know tall from short")
    assert (model.owner, model.project_id, model.run_id) == (job.owner, job.project_id, job.run_id)
    assert (model.task, model.schema["target"]) == ("classification", "kind")
    assert [column["name"] for column in model.schema["columns"]] == ["height", "leaves"]
    files = get_storage().folder_files(f"models/{model.public_id}")
    assert "model.json" in files
    folder = get_storage().local_folder(f"models/{model.public_id}")
    assert model.size_bytes == sum((folder / name).stat().st_size for name in files)
    predictor = registry.load(folder)
    assert [each["label"] for each in predictor.predict_input("0.5,1\n6.5,1")] == ["short", "tall"]
    assert Run.objects.get(pk=job.run_id).status == "completed"
    assert Attempt.objects.get(job=job).status == "completed"
    assert log_of(job)


def test_what_the_data_lacks_is_told_in_the_trainers_words_and_is_the_jobs_own_fault(submit, run):
    job = submit(model_type="random_forest", hyperparameters={"target": "colour"})
    status, job = run(job)
    assert (status, job.status, job.error_kind) == (0, "failed", "own")
    assert "colour" in job.error and "height" in job.error
    assert job.result is None
    assert not TrainedModel.objects.exists()
    assert get_storage().folder_files(f"models/{job.model_public_id}") == []
    assert log_of(job)[-1] == ("ERROR", job.error)
    assert Attempt.objects.get(job=job).status == "failed"


def test_an_unforeseen_error_is_told_by_an_id_and_shows_no_insides(training, run, monkeypatch, caplog):
    secret = f"the vault opens by hunter2 at {settings.DATA_DIR}"
    monkeypatch.setattr(noop, "train", raising(RuntimeError(secret)))
    status, job = run(training)
    assert (status, job.status, job.error_kind) == (0, "failed", "internal")
    error_id = job.error_details["error_id"]
    assert f"(error id {error_id})" in job.error
    assert error_id in caplog.text and "hunter2" in caplog.text  # the operator finds it
    told = [job.error, str(job.error_details), Run.objects.get(pk=job.run_id).status_reason, str(log_of(job))]
    assert not any("hunter2" in text or "Traceback" in text or str(settings.DATA_DIR) in text for text in told)


def test_what_the_worker_lacks_costs_an_attempt_and_the_process_says_so(training, run, monkeypatch):
    monkeypatch.setattr(noop, "train", raising(ModuleNotFoundError("No module named 'tiktoken'", name="tiktoken")))
    status, job = run(training)
    assert (status, job.status, job.lost_attempts) == (EXIT_LACKING, "pending", 1)
    assert "lacks the Python package tiktoken; install it there. The job is queued again." in log_of(job)[-1][1]


def test_a_failure_in_odd_words_is_the_jobs_all_the_same(training, run, monkeypatch):
    monkeypatch.setattr(noop, "train", raising(TrainerError("column 'a\0\ud83d' is empty", details={"column": "a\0"})))
    status, job = run(training)
    assert (status, job.status, job.error_kind) == (0, "failed", "own")
    assert "is empty" in job.error


def test_a_result_that_cannot_be_kept_is_left_out_and_the_model_is_not_lost_for_it(training, run, monkeypatch):
    train = noop.train

    def train_and_misspeak(config, data_path, out, reporter):
        result = train(config, data_path, out, reporter)
        result.metrics[""] = 1.0
        return result

    monkeypatch.setattr(noop, "train", train_and_misspeak)
    status, job = run(training)
    assert (status, job.status) == (0, "completed")
    assert "" not in job.metrics and "training_time" in job.metrics
    assert any(level == "WARN" and "1 to 250 characters" in message for level, message in log_of(job))


def test_what_was_said_before_a_failure_is_in_the_log(training, run, monkeypatch):
    def train(config, data_path, out, reporter):
        reporter.log("INFO", "reading")
        reporter.metrics({"rows": 3.0})
        print("from a library")  # noqa: T201
        os.write(2, b"from native code")
        raise TrainerError("Row 3 is empty.")

    monkeypatch.setattr(noop, "train", train)
    _, job = run(training)
    assert set(log_of(job)) == {
        ("INFO", "reading"),
        ("INFO", "from a library"),
        ("WARN", "from native code"),
        ("ERROR", "Row 3 is empty."),
    }
    assert log_of(job)[-1] == ("ERROR", "Row 3 is empty.")
    assert job.metrics == {"rows": 3.0}


def test_where_the_storage_is_away_the_job_is_tried_again(training, run, monkeypatch):
    monkeypatch.setattr(noop, "train", raising(StorageError()))
    status, job = run(training)
    assert (status, job.status, job.lost_attempts) == (0, "pending", 1)
    assert Attempt.objects.get(job=job).reason.startswith("The file storage is not available")


@pytest.fixture
def storage_away(monkeypatch):
    """storage_away(method, times) lets that method of the storage fail so often before it works."""

    def fail_first(method, times):
        works, left = getattr(FolderStorage, method), [StorageError()] * times

        def fail_or_work(*args):
            if left:
                raise left.pop()
            return works(*args)

        monkeypatch.setattr(FolderStorage, method, fail_or_work)

    return fail_first


@pytest.mark.parametrize(
    ("method", "what"),
    [
        ("local_path", "the look-up of the data"),
        ("stage_folder", "the copy of the model"),
        ("publish", "the publication of the model"),
    ],
)
def test_a_training_waits_for_the_storage_and_says_so(submit, run, user, storage_away, monkeypatch, method, what):
    dataset = dataset_upload(owner=user, file=BytesIO(b"a,b\n1,2\n"), filename="a.csv")
    if method == "publish":
        stage_folder, left = FolderStorage.stage_folder, [StorageError()] * 2

        def stage(self, key, source):
            staged = stage_folder(self, key, source)

            def publish():
                if left:
                    raise left.pop()
                staged.publish()

            return StagedFolder(publish=publish, discard=staged.discard)

        monkeypatch.setattr(FolderStorage, "stage_folder", stage)
    else:
        storage_away(method, 2)
    status, job = run(submit(data_path=dataset.public_id))
    assert (status, job.status, job.lost_attempts) == (0, "completed", 0)
    warnings = [message for level, message in log_of(job) if level == "WARN"]
    assert warnings == [f"The file storage is not available; {what} is tried again for up to 600 seconds."]
    assert get_storage().folder_files(f"models/{job.model_public_id}") == ["model.json"]


def test_a_storage_that_stays_away_costs_the_attempt_after_all_patience(submit, run, user, storage_away, settings):
    settings.JOBS = {**settings.JOBS, "storage_patience": 0.3}
    dataset = dataset_upload(owner=user, file=BytesIO(b"a,b\n1,2\n"), filename="a.csv")
    storage_away("local_path", 1000)
    status, job = run(submit(data_path=dataset.public_id))
    assert (status, job.status, job.lost_attempts) == (0, "pending", 1)


def test_who_is_told_to_stop_while_the_storage_is_away_stops(submit, run, user, storage_away, monkeypatch):
    dataset = dataset_upload(owner=user, file=BytesIO(b"a,b\n1,2\n"), filename="a.csv")
    storage_away("local_path", 1000)
    stop = StopFlag()
    job = submit(data_path=dataset.public_id)
    report = lifecycle.report

    def report_and_be_stopped(**order):
        report(**order)
        stop.set(StopFlag.HAND_BACK)

    monkeypatch.setattr(lifecycle, "report", report_and_be_stopped)  # the line that says that it waits
    status, job = run(job, stop)
    assert (status, job.status, job.lost_attempts) == (EXIT_STOPPED, "running", 0)


def test_a_job_that_is_cancelled_while_it_waits_for_the_storage_stays_cancelled(
    submit, run, user, storage_away, monkeypatch
):
    dataset = dataset_upload(owner=user, file=BytesIO(b"a,b\n1,2\n"), filename="a.csv")
    storage_away("stage_folder", 1000)
    job, stop = submit(data_path=dataset.public_id), StopFlag()
    report = lifecycle.report

    def report_and_be_cancelled(*, attempt, job, entry):
        report(attempt=attempt, job=job, entry=entry)
        if any("storage" in line.message for line in entry.logs):
            lifecycle.cancel(job=job)
            stop.set(StopFlag.CANCELLED)  # as the parent does: the reporter may have nothing more to write, and not see

    monkeypatch.setattr(lifecycle, "report", report_and_be_cancelled)
    _, job = run(job, stop)
    assert (job.status, job.lost_attempts, job.result) == ("cancelled", 0, None)
    assert not TrainedModel.objects.exists()


def test_data_that_is_gone_or_no_longer_the_owners_is_told_as_such(submit, run, table):
    job = submit()
    table.unlink()
    status, job = run(job)
    assert (status, job.status, job.error_kind) == (0, "failed", "own")
    assert TABLE in job.error and "does not exist" in job.error


def test_a_trainer_that_stops_as_it_was_asked_leaves_the_end_to_the_parent(training, run, monkeypatch):
    stop = StopFlag()

    def train(config, data_path, out, reporter):
        stop.set(StopFlag.HAND_BACK)
        assert reporter.should_stop()
        (reporter.checkpoint() / "step").write_text("7")
        reporter.log("INFO", "checkpoint at 7")
        raise Stopped

    monkeypatch.setattr(noop, "train", train)
    status, job = run(training, stop)
    assert (status, job.status) == (EXIT_STOPPED, "running")
    assert log_of(job) == [("INFO", "checkpoint at 7")]
    assert (workspace(job.pk, 1).checkpoint / "step").read_text() == "7"


def test_sigterm_interrupts_a_trainer_that_does_not_look(training, run, monkeypatch):
    def train(config, data_path, out, reporter):
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("not interrupted")

    monkeypatch.setattr(noop, "train", train)
    status, job = run(training)
    assert (status, job.status) == (EXIT_STOPPED, "running")


def test_a_later_attempt_finds_the_checkpoint_of_the_one_before(training, run, claim, monkeypatch):
    attempt = claim(training)
    before = workspace(training.pk, attempt.number)
    before.checkpoint.mkdir(parents=True)
    (before.checkpoint / "step").write_text("7")
    get_storage().stage_folder(f"models/{training.model_public_id}", before.checkpoint)
    lifecycle.lose(attempt=attempt, job=training, reason="its machine caught fire")
    found = []
    train = noop.train

    def train_on(config, data_path, out, reporter):
        found.append((reporter.checkpoint() / "step").read_text())
        return train(config, data_path, out, reporter)

    monkeypatch.setattr(noop, "train", train_on)
    status, job = run(training)
    assert (status, job.status, job.attempt, found) == (0, "completed", 2, ["7"])
    models = get_storage().local_folder(f"models/{training.model_public_id}").parent
    assert list(models.glob(f".{training.model_public_id}.*")) == [], "nothing half written beside it"


def test_a_job_that_was_cancelled_during_the_training_gets_no_model(training, run, monkeypatch):
    train = noop.train

    def train_and_be_cancelled(config, data_path, out, reporter):
        lifecycle.cancel(job=training)
        return train(config, data_path, out, reporter)

    monkeypatch.setattr(noop, "train", train_and_be_cancelled)
    status, job = run(training)
    assert (status, job.status, job.result) == (0, "cancelled", None)
    assert not TrainedModel.objects.exists()
    assert get_storage().folder_files(f"models/{job.model_public_id}") == []
    assert [message for _, message in log_of(job)] == ["Job cancelled by user"]


def test_an_answer_to_the_last_commit_that_was_lost_is_no_failure(training, run, monkeypatch):
    """The first try committed, but its answer was lost with the connection: the second one finds the job completed."""
    complete, tries = lifecycle.complete, []

    def complete_and_lose_the_answer(**order):
        complete(**order)
        tries.append(order)
        raise OperationalError("the connection was lost")

    def complete_at_first(**order):
        return complete(**order) if tries else complete_and_lose_the_answer(**order)

    monkeypatch.setattr(lifecycle, "complete", complete_at_first)
    status, job = run(training)
    assert (status, job.status) == (0, "completed")
    assert TrainedModel.objects.filter(job=job).count() == 1
    assert get_storage().folder_files(f"models/{job.model_public_id}") == ["model.json"]
    assert len(tries) == 1
