"""Priorities, limits of a user, and GPUs asked for: what may begin, what is refused, and what its user is told."""

import threading

import pytest
from django.db import connection

from automl_site.errors import Forbidden, InvalidSpec, TooManyPending
from jobs import lifecycle, queue
from jobs.models import Job, Worker
from jobs.reconciler import Reconciler
from jobs.selectors.scheduling import next_pending, waiting_message, waiting_messages
from jobs.services.control import job_run_again
from jobs.services.submission import inference_submit, training_submit
from tests.jobs.conftest import TABLE
from tracking.models import Run

pytestmark = pytest.mark.django_db


@pytest.fixture
def limited(settings):
    """limited(max_pending_per_user=2) sets limits of this deployment."""

    def set_to(**limits):
        settings.JOBS = {**settings.JOBS, **limits}

    return set_to


# --- Priorities -------------------------------------------------------------------------------------------------------


def test_anyone_may_let_others_go_first_and_operators_may_go_before_them(submit, make_user):
    operator = make_user("operator", is_staff=True)
    later, plain, urgent = submit(priority=-10), submit(), submit(user=operator, priority=10)
    assert [job.pk for job in next_pending(["sklearn"])][0] == urgent.pk
    Job.objects.filter(pk=urgent.pk).delete()
    assert next_pending(["sklearn"])[0].pk == plain.pk
    assert later.priority == -10


@pytest.mark.parametrize("priority", [11, -11, 10**30, 1.5, "5", None, True])
def test_what_is_no_priority_is_refused_by_name(submit, priority):
    with pytest.raises(InvalidSpec) as refused:
        submit(priority=priority)
    assert refused.value.errors["priority"][0].startswith("priority must be a whole number from -10 to 10")
    assert not Job.objects.exists() and not Run.objects.exists()


def test_only_operators_go_before_others(submit, make_model, user):
    with pytest.raises(Forbidden, match="priority 1 is for operators; use 0"):
        submit(priority=1)
    with pytest.raises(Forbidden):
        inference_submit(user=user, model_id=make_model().public_id, input_data="1", priority=1)
    assert inference_submit(user=user, model_id=make_model().public_id, input_data="1", priority=-3).priority == -3


def test_who_runs_an_urgent_job_again_gets_no_more_than_the_own_right(submit, make_user, user):
    operator = make_user("operator", is_staff=True)
    urgent, patient = submit(user=operator, priority=7), submit(priority=-2)
    Job.objects.filter(pk=urgent.pk).update(project=patient.project)
    urgent.refresh_from_db()
    assert job_run_again(user=user, job=urgent).priority == 0
    assert job_run_again(user=user, job=patient).priority == -2


# --- Pending jobs -----------------------------------------------------------------------------------------------------


def test_a_user_with_as_many_pending_jobs_as_allowed_is_told_the_number_and_what_to_do(
    submit, inference, make_model, make_user, user, limited, claim
):
    limited(max_pending_per_user=3)
    first = submit()
    submit()
    said = "Your pending jobs: 3, of at most 3. Wait until some have begun, or cancel some"
    model = make_model()
    for order in (submit, lambda: inference_submit(user=user, model_id=model.public_id, input_data="1")):
        with pytest.raises(TooManyPending, match=said):
            order()
    assert (Job.objects.count(), Run.objects.count()) == (3, 2)
    assert submit(user=make_user("bob")).status == "pending"
    claim(first)
    assert submit().status == "pending"


def test_stages_and_trials_do_not_count_against_their_users_limit(submit, limited):
    parent, child = submit(), submit()
    Job.objects.filter(pk=child.pk).update(parent=parent)
    limited(max_pending_per_user=2)
    submit()
    with pytest.raises(TooManyPending):
        submit()


def at_once(number, work):
    """What `work()` gives in each of so many threads that begin together: a value, or the limit's error."""
    found, start = [], threading.Barrier(number)

    def run():
        try:
            start.wait()
            found.append(work())
        except TooManyPending as error:
            found.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.django_db(transaction=True)
def test_orders_that_come_at_once_do_not_pass_the_limit_together(table, user, limited):
    limited(max_pending_per_user=2)
    found = at_once(5, lambda: training_submit(user=user, model_type="noop", data_path=TABLE))
    assert sorted(type(each).__name__ for each in found) == ["Job"] * 2 + ["TooManyPending"] * 3
    assert Job.objects.count() == 2


# --- Running trainings ------------------------------------------------------------------------------------------------


def test_who_has_as_many_trainings_running_as_allowed_waits_and_others_do_not(submit, make_user, worker, limited):
    limited(max_running_per_user=2)
    mine = [submit() for _ in range(3)]
    theirs = submit(user=make_user("bob"))
    claimed = [lifecycle.claim_next(queue_names=["sklearn"], worker=worker) for _ in range(4)]
    assert [each and each.job_id for each in claimed] == [mine[0].pk, theirs.pk, mine[1].pk, None]
    mine[2].refresh_from_db()
    said = "queued, 1st, waits until one of its owner's 2 running trainings ends: more are not allowed at a time"
    assert waiting_message(mine[2]) == said
    assert waiting_messages([mine[2]], [worker]) == {mine[2].pk: said}
    lifecycle.complete(attempt=claimed[0], job=mine[0], result={})
    assert lifecycle.claim_next(queue_names=["sklearn"], worker=worker).job_id == mine[2].pk


def test_the_limit_counts_what_runs_in_other_queues_and_holds_up_no_inference(
    submit, inference, worker, make_worker, limited
):
    limited(max_running_per_user=1)
    elsewhere, here = submit(), submit()
    Job.objects.filter(pk=elsewhere.pk).update(queue="tensorflow")
    assert lifecycle.claim_next(queue_names=["tensorflow"], worker=worker).job_id == elsewhere.pk
    assert lifecycle.claim_next(queue_names=["sklearn"], worker=worker) is None
    assert Job.objects.get(pk=here.pk).status == "pending"
    answers = make_worker("answers", kind="inference", queues=[inference.queue])
    assert lifecycle.claim_next(queue_names=[inference.queue], worker=answers).job_id == inference.pk


@pytest.mark.django_db(transaction=True)
def test_workers_that_claim_at_once_do_not_pass_the_limit_together(submit, worker, limited):
    for _ in range(4):
        submit()
    limited(max_running_per_user=2)
    found = at_once(4, lambda: lifecycle.claim_next(queue_names=["sklearn"], worker=worker))
    assert sum(attempt is None for attempt in found) == 2
    assert Job.objects.filter(status="running").count() == 2


def test_nobody_is_woken_for_jobs_that_may_not_begin(submit, make_user, worker, limited):
    limited(max_running_per_user=1)
    submit(), submit()
    submit(user=make_user("bob"))
    lifecycle.claim_next(queue_names=["sklearn"], worker=worker)
    Reconciler().top_up_wake_ups()
    assert queue.wake_ups("sklearn") == 1


# --- GPUs -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def gpu_worker(make_worker):
    def make(name, count):
        capabilities = {"devices": [{"name": "H"}] * count}
        return make_worker(name, queues=["pytorch-2.0-gpu"], capabilities=capabilities)

    return make


@pytest.fixture
def on_gpus(submit):
    """on_gpus(4) -> a pending job that needs as many GPUs."""

    def make(count):
        job = submit()
        Job.objects.filter(pk=job.pk).update(queue="pytorch-2.0-gpu", gpus=count)
        job.refresh_from_db()
        return job

    return make


def test_a_worker_leaves_jobs_that_need_more_gpus_than_its_own_to_others(on_gpus, gpu_worker):
    large, small = on_gpus(2), on_gpus(1)
    single, double = gpu_worker("single", 1), gpu_worker("double", 2)
    names = ["pytorch-2.0-gpu"]
    assert lifecycle.claim_next(queue_names=names, worker=single).job_id == small.pk
    assert lifecycle.claim_next(queue_names=names, worker=single) is None
    assert lifecycle.claim_next(queue_names=names, worker=double).job_id == large.pk


def test_a_job_that_no_worker_has_gpus_enough_for_says_so(on_gpus, gpu_worker):
    job = on_gpus(4)
    assert "start one on a machine with a GPU with make torch, then manage.py up --only worker" in waiting_message(job)
    gpu_worker("single", 1), gpu_worker("double", 2)
    assert waiting_message(job) == (
        "queued, 1st; it needs 4 GPUs, and the largest PyTorch 2.0 GPU worker has 2: start one with "
        "manage.py up --only worker --gpus-per-worker 4"
    )
    Worker.objects.update(capabilities={"devices": [{}] * 4})
    assert waiting_message(job) == "queued, 1st, a PyTorch 2.0 GPU worker will take it in a moment"


def test_a_training_on_a_gpu_queue_needs_one_and_elsewhere_none(submit):
    assert submit(model_type="resnet", requires_gpu=True).gpus == 1
    assert submit(model_type="resnet", requires_gpu=True, hyperparameters={"num_gpus": 4}).gpus == 4
    assert submit(model_type="resnet").gpus == 0
    assert submit(requires_gpu=True).gpus == 0
