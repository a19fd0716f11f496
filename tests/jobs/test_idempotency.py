"""An order that is repeated with its `Idempotency-Key` makes one job."""

from datetime import timedelta

import pytest
from django.utils import timezone

from automl_site.errors import Conflict
from jobs.models import Job, SubmissionKey
from jobs.services import submission
from jobs.services.idempotency import submission_key_sweep
from tests.jobs.conftest import TABLE
from tests.meanwhile import Meanwhile
from tracking.models import Run
from tracking.services.metrics import Idempotency


@pytest.fixture
def order(user, table):
    """order(key, body) -> the job that the order of `user` with that key and body is answered with."""

    def send(key="k", body=b"{}", **changes):
        idempotency = Idempotency.of(user_id=user.pk, key=key, path="/jobs/training", body=body)
        given = {"user": user, "model_type": "noop", "data_path": TABLE} | changes
        return submission.training_submit(**given, idempotency=idempotency)

    return send


@pytest.mark.django_db
def test_an_order_with_another_body_is_refused_and_one_with_another_key_is_another_job(order):
    first = order()
    with pytest.raises(Conflict, match="'k' has come before with another body"):
        order(body=b'{"a": 1}')
    assert {order().pk, order("l").pk} == {first.pk, Job.objects.exclude(pk=first.pk).get().pk}


@pytest.mark.django_db
def test_the_keys_of_users_are_their_own(order, user, make_user):
    bob = make_user("bob")
    idempotency = Idempotency.of(user_id=bob.pk, key="k", path="/jobs/training", body=b"another")
    theirs = submission.training_submit(user=bob, model_type="noop", data_path=TABLE, idempotency=idempotency)
    assert order().owner == user and theirs.owner == bob


@pytest.mark.django_db
def test_a_repetition_is_answered_though_its_data_is_gone_and_its_user_may_have_no_more_jobs(order, table, settings):
    settings.JOBS = {**settings.JOBS, "max_pending_per_user": 1}
    first = order()
    table.unlink()
    assert order().pk == first.pk


@pytest.mark.django_db
def test_a_refused_order_keeps_no_key(order):
    with pytest.raises(Exception, match="Validation error"):
        order(data_path="nowhere.csv")
    assert order(body=b"mended").status == "pending"


@pytest.mark.django_db(transaction=True)
def test_the_same_order_twice_at_once_makes_one_job(order, monkeypatch):
    found = []
    other = Meanwhile(lambda: found.append(order()))
    keep = submission.submission_keep

    def slow(**kept):
        other.begin()
        keep(**kept)

    monkeypatch.setattr(submission, "submission_keep", slow)
    job = order()
    other.end()
    assert other.error is None and [each.pk for each in found] == [job.pk]
    assert (Job.objects.count(), Run.objects.count(), SubmissionKey.objects.count()) == (1, 1, 1)


@pytest.mark.django_db
def test_a_key_is_forgotten_after_a_day(order):
    old, young = order("old"), order("young")
    SubmissionKey.objects.filter(job=old).update(created_at=timezone.now() - timedelta(days=1, seconds=1))
    assert submission_key_sweep() == 1
    assert order("young").pk == young.pk
    assert order("old").pk != old.pk
