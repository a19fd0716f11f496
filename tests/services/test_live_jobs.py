"""The socket of a job: its state, its run's stream or its own log, and its end."""

import uuid

import pytest

from jobs import lifecycle
from jobs.models import Job, TrainedModel, Worker
from tests.services.live_helpers import Socket, access_token, database, new_run
from tracking import feeds, live
from tracking.models import User
from tracking.services.projects import jobs_project
from tracking.stream import LogEntry, Point

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _fresh_publisher():
    live.close()
    yield
    live.close()


@pytest.fixture
def token(user):
    return access_token(user)


@pytest.fixture
def training(user):
    return Job.objects.create(
        kind=Job.Kind.TRAINING,
        model_type="random_forest",
        queue="sklearn",
        owner=user,
        project=jobs_project(user),
        run=new_run(user),
    )


@pytest.fixture
def inference(user):
    model = TrainedModel.objects.create(
        owner=user, project=jobs_project(user), name="m", model_type="random_forest", framework="sklearn"
    )
    return Job.objects.create(
        kind=Job.Kind.INFERENCE, model_type="random_forest", queue="sklearn-inference", owner=user, model=model
    )


@pytest.fixture
def worker():
    now = lifecycle.database_now()
    return Worker.objects.create(
        name="w", kind="training", host="here", pid=1, queues=[], started_at=now, heartbeat_at=now
    )


def claim(job, worker):
    attempt = lifecycle.claim_next(queue_names=[job.queue], worker=worker)
    assert attempt is not None
    return attempt


async def test_a_training_is_followed_from_waiting_to_its_end(training, token, worker, monkeypatch):
    monkeypatch.setattr(feeds, "POLL", 1000.0)  # wake-ups bring it all
    async with Socket(f"/ws/jobs/{training.pk}?token={token}&last_id=0") as socket:
        first = await socket.receive()
        assert (first["type"], first["status"], first["progress"]) == ("job", "pending", 0.0)
        assert {"message", "eta_seconds", "attempt", "waiting"} <= set(first)
        assert "id" not in first

        attempt = await database(claim, training, worker)
        messages = await socket.receive_until("job")
        assert messages[-1]["status"] == "running"

        report = lifecycle.Report(
            points=[Point("loss", 0.5)], logs=[LogEntry("INFO", "tree 1")], progress=0.25, message="growing"
        )
        await database(lifecycle.report, attempt=attempt, job=training, entry=report)
        seen = messages + await socket.receive_until("job")
        assert (seen[-1]["progress"], seen[-1]["message"]) == (0.25, "growing")

        await database(lifecycle.complete, attempt=attempt, job=training, result={"framework": "sklearn"})
        seen += await socket.receive_until("end")
        assert await socket.closed() == (1000, "")
    stream = [m for m in seen if "id" in m]
    assert [m["id"] for m in stream] == list(range(1, len(stream) + 1))
    assert [m["type"] for m in stream] == ["run", "metric", "log", "run"] or [m["type"] for m in stream] == [
        "metric",
        "log",
        "run",
    ]
    assert [m["status"] for m in seen if m["type"] == "job"][-1] == "completed"
    assert all(m["timestamp"].endswith("Z") for m in stream if m["type"] in ("metric", "log"))
    assert seen.index({"type": "end"}) == len(seen) - 1


async def test_an_inference_shows_its_own_log(inference, token, worker):
    attempt = await database(claim, inference, worker)
    lines = [LogEntry("INFO", f"row {i}") for i in range(3)]
    await database(lifecycle.report, attempt=attempt, job=inference, entry=lifecycle.Report(logs=lines))
    async with Socket(f"/ws/jobs/job_{inference.pk}?token={token}&last_id=1") as socket:
        snapshot, *logs = await socket.receive_many(3)
        assert snapshot["status"] == "running"
        assert [(m["type"], m["id"], m["level"], m["message"]) for m in logs] == [
            ("log", 2, "INFO", "row 1"),
            ("log", 3, "INFO", "row 2"),
        ]
        await database(
            lifecycle.fail, attempt=attempt, job=inference, failure=lifecycle.Failure("no such column", "own")
        )
        rest = await socket.receive_until("end")
        assert [m["message"] for m in rest if m["type"] == "log"] == ["no such column"]
        assert [m["status"] for m in rest if m["type"] == "job"] == ["failed"]
        assert (await socket.closed())[0] == 1000


async def test_a_job_that_ended_long_ago_is_told_whole_and_closed(training, token):
    await database(lifecycle.cancel, job=training)
    async with Socket(f"/ws/jobs/{training.pk}?token={token}&last_id=0") as socket:
        messages = await socket.receive_until("end")
        assert [m["type"] for m in messages] == ["job", "log", "run", "end"]
        assert messages[0]["status"] == "cancelled"
        assert (await socket.closed())[0] == 1000
    async with Socket(f"/ws/jobs/{training.pk}?token={token}") as socket:
        assert [m["type"] for m in await socket.receive_until("end")] == ["job", "end"]
        assert (await socket.closed())[0] == 1000


async def test_a_job_that_is_deleted_while_it_is_followed_ends(training, token, monkeypatch):
    monkeypatch.setattr(feeds, "POLL", 0.05)
    async with Socket(f"/ws/jobs/{training.pk}?token={token}") as socket:
        await socket.receive()
        await database(Job.objects.filter(pk=training.pk).delete)
        assert (await socket.receive_until("end"))[-1] == {"type": "end"}
        assert (await socket.closed())[0] == 1000


async def test_a_job_that_one_may_not_see_is_as_if_absent(training, make_user):
    bob: User = await database(make_user, "bob")
    token = await database(access_token, bob)
    for job_id in (training.pk, uuid.uuid4(), "nonsense", "job_"):
        async with Socket(f"/ws/jobs/{job_id}?token={token}") as socket:
            assert await socket.closed() == (4404, "Job not found")
    async with Socket(f"/ws/jobs/{training.pk}") as socket:
        assert (await socket.closed())[0] == 4401
