"""The warm inference process: loaded models, one job after the other, and failures that end the job, not the server."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import settings

from automl_site.errors import NotFound, StorageError
from datasets_app.storage import FolderStorage, get_storage
from jobs import inference as inference_module
from jobs import lifecycle, model_cache
from jobs import worker as worker_module
from jobs.model_cache import ModelCache, cache_bytes
from jobs.models import Attempt, Job, TrainedModel, Worker
from jobs.services.submission import inference_submit
from tests.jobs.conftest import TABLE, NoSignals, log_of
from trainers import noop, registry
from trainers.protocol import ModelProblem, TrainerError

pytestmark = pytest.mark.django_db


@pytest.fixture
def predicting(monkeypatch):
    """predicting(function) lets the no-op model predict by `function(input_data, parameters)`."""

    def replace(function):
        monkeypatch.setattr(noop.NoopPredictor, "predict_input", lambda self, data, given=None: function(data, given))

    return replace


def raiser(error):
    def predict(data, parameters):
        raise error

    return predict


# --- The cache --------------------------------------------------------------------------------------------------------

MB = 1024**2  # so large that what a process grows by meanwhile is nothing beside it


def test_a_model_is_loaded_once(make_model, monkeypatch):
    loaded, load = [], registry.load
    monkeypatch.setattr(registry, "load", lambda folder: loaded.append(folder.name) or load(folder))
    cache, model = ModelCache(1000 * MB), make_model(size_bytes=10 * MB)
    assert cache.get(model) is cache.get(TrainedModel.objects.get(pk=model.pk))
    assert loaded == [model.public_id]


def test_the_model_that_was_not_asked_for_the_longest_makes_room(make_model, monkeypatch):
    loaded, load = [], registry.load
    monkeypatch.setattr(registry, "load", lambda folder: loaded.append(folder.name) or load(folder))
    cache = ModelCache(250 * MB)
    a, b, c = (make_model(size_bytes=100 * MB) for _ in range(3))
    for model in (a, b, a, c):  # 300 MB: b goes
        cache.get(model)
    loaded.clear()
    for model in (a, c, b):
        cache.get(model)
    assert loaded == [b.public_id]


def test_a_model_larger_than_the_cache_is_served_and_replaces_all(make_model, monkeypatch):
    loaded, load = [], registry.load
    monkeypatch.setattr(registry, "load", lambda folder: loaded.append(folder.name) or load(folder))
    cache, small, large = ModelCache(250 * MB), make_model(size_bytes=100 * MB), make_model(size_bytes=1000 * MB)
    for model in (small, large, large, small):
        cache.get(model)
    assert loaded == [small.public_id, large.public_id, small.public_id]


def test_a_model_without_files_or_with_damaged_ones_is_not_kept(make_model):
    cache, model = ModelCache(1000 * MB), make_model(files=False)
    with pytest.raises(NotFound, match="are gone; train it again"):
        cache.get(model)
    folder = Path(settings.FILES_ROOT) / "models" / model.public_id
    folder.mkdir(parents=True)
    with pytest.raises(ModelProblem, match="model.json is missing"):
        cache.get(model)
    (folder / "model.json").write_text('{"model_type": "noop"}')
    assert cache.get(model).predict_input("1") == [{"value": 0.0}]


def test_a_model_that_takes_more_memory_than_its_files_counts_by_what_it_takes(make_model, monkeypatch):
    grown = iter([0, 90 * MB, 0, 0])
    monkeypatch.setattr(model_cache, "resident_bytes", lambda: next(grown))
    cache = ModelCache(250 * MB)
    for _ in range(2):
        cache.get(make_model(size_bytes=10 * MB))
    assert cache.bytes == 100 * MB


def test_where_memory_is_short_the_other_models_make_room(make_model, monkeypatch):
    cache, kept, other = ModelCache(1000 * MB), make_model(size_bytes=10 * MB), make_model(size_bytes=20 * MB)
    predictor = cache.get(kept)
    cache.get(other)
    errors = [RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory")]

    def predict():
        if errors:
            raise errors.pop()
        return "answer"

    assert cache.with_room(predict, spare=kept.public_id) == "answer"
    assert cache.bytes == 10 * MB
    assert cache.get(kept) is predictor
    errors += [MemoryError()]
    with pytest.raises(MemoryError):  # nothing is left to drop
        cache.with_room(predict, spare=kept.public_id)


def test_without_a_number_the_cache_takes_a_quarter_of_the_memory():
    assert (cache_bytes(0, 400), cache_bytes(7, 400)) == (100, 7)


# --- Jobs -------------------------------------------------------------------------------------------------------------


def test_an_answer_has_one_prediction_an_input(inference, answer, predicting):
    predicting(lambda data, parameters: [{"value": 1.5}, {"value": float("nan")}])
    job = answer(inference)
    assert (job.status, job.error) == ("completed", "")
    assert job.result == {"model_id": job.model.public_id, "predictions": [{"value": 1.5}, {"value": "NaN"}]}
    ((level, line),) = log_of(job)
    assert level == "INFO" and line.startswith(f"2 predictions with {job.model.public_id} in ")
    assert Attempt.objects.get(job=job).status == "completed"


def test_data_and_parameters_come_as_they_were_given_and_a_file_as_its_path(
    make_model, answer, predicting, user, table
):
    seen = []
    predicting(lambda data, parameters: seen.append((data, parameters)) or [])
    model = make_model()
    for given in ([{"a": 1}], f"/data/{TABLE}"):
        answer(inference_submit(user=user, model_id=model.public_id, input_data=given, parameters={"top_k": 2}))
    assert seen == [([{"a": 1}], {"top_k": 2}), (table.resolve(), {"top_k": 2})]


def test_what_the_input_lacks_is_told_in_the_models_words(inference, answer, predicting):
    predicting(raiser(TrainerError("Row 1 has no 'height'.", details={"row": 1})))
    job = answer(inference)
    assert (job.status, job.error, job.error_kind) == ("failed", "Row 1 has no 'height'.", "own")
    assert log_of(job) == [("ERROR", "Row 1 has no 'height'.")]


def test_after_any_failure_the_server_goes_on(make_model, answer, predicting, user, caplog):
    model = make_model()

    def ask():
        return answer(inference_submit(user=user, model_id=model.public_id, input_data="1"))

    predicting(raiser(RuntimeError("hunter2")))
    failed = ask()
    assert (failed.status, failed.error_kind) == ("failed", "internal")
    assert failed.error_details["error_id"] in caplog.text
    assert "hunter2" not in failed.error + str(failed.error_details) + str(log_of(failed))
    predicting(raiser(MemoryError()))
    assert "needed more memory than there is" in ask().error
    predicting(raiser(TrainerError("odd \0 \ud83d words")))
    assert ask().status == "failed"
    predicting(lambda data, parameters: [{"label": "x"}])
    assert ask().status == "completed"


def test_a_model_whose_framework_is_broken_here_is_left_to_other_workers_for_a_time(
    inference, server, answer, monkeypatch, tmp_path
):
    (tmp_path / "broken_trainer_of_the_tests.py").write_text("raise OSError('libtorch_cpu.so: invalid ELF header')")
    monkeypatch.syspath_prepend(tmp_path)
    broken = replace(registry.TRAINERS["noop"], module="broken_trainer_of_the_tests")
    monkeypatch.setitem(registry.TRAINERS, "noop", broken)
    monkeypatch.setattr(worker_module, "PASSED_OVER_SECONDS", 0.0)
    for number in (1, 2):
        job = answer(inference)
        assert (job.status, job.lost_attempts) == ("pending", number)
    job = answer(inference)
    assert (job.status, job.error_kind) == ("failed", "infrastructure")
    assert "Given up after 3 attempts" in job.error and "the framework of the model is broken" in job.error


def test_where_the_storage_is_away_the_job_waits_for_another_try(inference, answer, predicting):
    predicting(raiser(StorageError()))
    job = answer(inference)
    assert (job.status, job.lost_attempts) == ("pending", 1)


@pytest.fixture
def storage_away(monkeypatch):
    """storage_away(times) lets the storage fail so often before it gives a model's folder."""

    def fail_first(times):
        local_folder, left = FolderStorage.local_folder, [StorageError()] * times

        def fail_or_work(self, key):
            if left:
                raise left.pop()
            return local_folder(self, key)

        monkeypatch.setattr(FolderStorage, "local_folder", fail_or_work)

    return fail_first


def test_a_prediction_waits_a_while_for_the_storage(inference, answer, storage_away):
    storage_away(3)
    job = answer(inference)
    assert (job.status, job.lost_attempts) == ("completed", 0)


def test_a_storage_that_stays_away_costs_the_prediction_an_attempt(inference, answer, storage_away, settings):
    settings.JOBS = {**settings.JOBS, "storage_patience": 0.2}
    storage_away(1000)
    job = answer(inference)
    assert (job.status, job.lost_attempts) == ("pending", 1)


def test_a_server_that_is_told_to_end_waits_for_no_storage_and_leaves_the_job_to_its_monitor(
    inference, answer, server, storage_away, monkeypatch
):
    storage_away(1000)
    monkeypatch.setattr(server.signals, "requested", True)
    job = answer(inference)
    assert (job.status, job.lost_attempts) == ("running", 0)


def test_a_model_that_was_thrown_away_or_whose_files_are_gone_is_told(make_model, answer, user):
    trashed, gone = make_model(), make_model()
    first, second = (inference_submit(user=user, model_id=model.public_id, input_data="1") for model in (trashed, gone))
    TrainedModel.objects.filter(pk=trashed.pk).update(deleted_at=lifecycle.database_now())
    shutil.rmtree(get_storage().local_folder(f"models/{gone.public_id}"))
    assert answer(first).error == "The model was deleted."
    assert "are gone; train it again" in answer(second).error


def test_answers_are_bounded(make_model, answer, predicting, user, monkeypatch):
    monkeypatch.setattr(inference_module, "MAX_PREDICTIONS", 5)
    monkeypatch.setattr(inference_module, "MAX_RESULT_BYTES", 1000)
    model = make_model()

    def ask(predictions):
        predicting(lambda data, parameters: predictions)
        return answer(inference_submit(user=user, model_id=model.public_id, input_data="1"))

    assert ask([{"value": 0.0}] * 5).status == "completed"
    assert "6 rows; one inference answers at most 5" in ask([{"value": 0.0}] * 6).error
    assert "answers at most 1000" in ask([{"label": "x" * 2000}]).error


def test_a_file_that_became_anothers_is_not_read(make_model, answer, predicting, user, make_user):
    """What was allowed at submission is checked once more when the worker opens it."""
    from io import BytesIO

    from datasets_app.models import Dataset
    from datasets_app.services import dataset_upload

    dataset = dataset_upload(owner=user, file=BytesIO(b"a\n1\n"), filename="a.csv")
    job = inference_submit(user=user, model_id=make_model().public_id, input_data=dataset.public_id)
    Dataset.objects.filter(pk=dataset.pk).update(owner=make_user("bob"))
    predicting(lambda data, parameters: pytest.fail("it was read"))
    job = answer(job)
    assert job.status == "failed"
    assert "does not exist, or is not yours" in job.error


def test_a_job_that_is_cancelled_while_it_is_answered_stays_cancelled(inference, answer, predicting):
    predicting(lambda data, parameters: lifecycle.cancel(job=inference) and [{"value": 1.0}])
    job = answer(inference)
    assert (job.status, job.result) == ("cancelled", None)
    assert Attempt.objects.get(job=job).status == "cancelled"


@pytest.mark.parametrize("error", [StorageError(), TrainerError("Row 1 is empty.")])
def test_a_failure_of_a_job_that_was_cancelled_meanwhile_closes_its_attempt(inference, answer, predicting, error):
    def cancelled_and_failing(data, parameters):
        lifecycle.cancel(job=inference)
        raise error

    predicting(cancelled_and_failing)
    job = answer(inference)
    assert (job.status, job.error, job.lost_attempts) == ("cancelled", "Job cancelled by user", 0)
    assert Attempt.objects.get(job=job).status == "cancelled"


def test_a_job_that_is_deleted_once_it_is_claimed_does_not_end_the_server(inference, server):
    attempt = lifecycle.claim_next(queue_names=[inference.queue], worker=server.worker)
    Job.objects.filter(pk=inference.pk).delete()
    server.execute(attempt)
    assert not Job.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_server_whose_workers_row_is_gone_waits_to_be_replaced(inference, server):
    class EndedOnceItWaits(NoSignals):
        def wait(self, seconds):
            self.requested = True

    server.signals = EndedOnceItWaits()
    Worker.objects.all().delete()
    server.work()
    inference.refresh_from_db()
    assert (inference.status, inference.attempt) == ("pending", 0)
