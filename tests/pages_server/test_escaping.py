"""What users and their programs write is shown as text, whatever it looks like."""

import csv
import io

import pytest
from django.test import Client

from jobs import lifecycle
from jobs.models import Job, TrainedModel
from tests.pages_server.things import COLUMNS, Things, claim, reread, worker
from tracking.models import Project
from tracking.stream import LogEntry, Point

NASTY = """</script><script>alert(1)</script><img src=x onerror="alert('2')">"""
RAW = ("<script>alert", "<img src=x", 'onerror="alert')


def body(client: Client, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, path
    return (b"".join(answer) if answer.streaming else answer.content).decode()


def assert_escaped(page: str) -> None:
    assert "&lt;script&gt;alert(1)" in page
    assert [raw for raw in RAW if raw in page] == []


@pytest.fixture
def nasty_job(things: Things) -> Job:
    """A failed training all of whose texts are nasty."""
    content = f'"{NASTY.replace(chr(34), chr(34) * 2)}",kind\n1,a\n2,b\n'
    dataset = things.dataset(content, filename="x.csv")
    job = things.training(description=NASTY, data_path=dataset.public_id, hyperparameters={"target": "kind"})
    worker(queues=["sklearn", NASTY], host=NASTY)
    attempt = claim(job)
    logs = [LogEntry("INFO", NASTY), LogEntry("ERROR", NASTY)]
    lifecycle.report(
        attempt=attempt,
        job=job,
        entry=lifecycle.Report(logs=logs, points=[Point(NASTY, 1.0)], progress=0.5, message=NASTY),
    )
    Job.objects.filter(pk=job.pk).update(hyperparameters={NASTY: NASTY}, data_path=NASTY)
    Project.objects.update(name=NASTY)
    return reread(job)


@pytest.fixture
def nasty_model(things: Things) -> TrainedModel:
    return things.model(
        name=NASTY,
        model_type=NASTY,
        framework_version="<b>1",
        task=NASTY[:40],
        metrics={NASTY: 0.5, "accuracy": 0.5},
        report={
            "confusion_matrix": {"labels": [NASTY, "b"], "matrix": [[1, 0], [0, 1]]},
            "feature_importances": [{"name": NASTY, "importance": 1.0}],
            "per_class": [{"label": NASTY, "precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1}],
        },
        schema={"columns": [*COLUMNS, {"name": NASTY, "kind": NASTY, "examples": [NASTY]}], "target": NASTY},
    )


def test_a_running_jobs_page(signed_in: Client, nasty_job: Job) -> None:
    assert_escaped(body(signed_in, f"/ui/jobs/{nasty_job.pk}/"))


def test_a_failed_jobs_page_and_its_attempts(signed_in: Client, nasty_job: Job) -> None:
    attempt = nasty_job.attempts.get()
    lifecycle.lose(attempt=attempt, job=nasty_job, reason=NASTY)
    again = claim(nasty_job)
    lifecycle.fail(attempt=again, job=nasty_job, failure=lifecycle.Failure(NASTY, "own", {"error_id": NASTY}))
    page = body(signed_in, f"/ui/jobs/{nasty_job.pk}/")
    assert_escaped(page)
    assert page.count("&lt;script&gt;alert(1)") > 8


@pytest.mark.parametrize("path", ["/ui/", "/ui/jobs/", "/ui/search/?q=script", "/ui/workers/"])
def test_lists_with_it(signed_in: Client, nasty_job: Job, nasty_model: TrainedModel, path: str) -> None:
    assert_escaped(body(signed_in, path))


@pytest.mark.parametrize("path", ["/ui/jobs/", "/ui/models/", "/ui/datasets/", "/ui/search/"])
def test_what_one_searches_for(signed_in: Client, things: Things, path: str) -> None:
    answer = signed_in.get(path, {"q": NASTY, "model_type": NASTY, "status": NASTY, "kind": NASTY})
    assert answer.status_code == 200
    assert_escaped(answer.content.decode())


def test_a_models_page_and_the_list(signed_in: Client, nasty_model: TrainedModel) -> None:
    assert_escaped(body(signed_in, f"/ui/models/{nasty_model.public_id}/"))
    assert_escaped(body(signed_in, "/ui/models/"))
    TrainedModel.objects.update(deleted_at=nasty_model.created_at)
    assert_escaped(body(signed_in, "/ui/models/?trash=1"))


def test_predictions(signed_in: Client, things: Things, nasty_model: TrainedModel) -> None:
    job = things.prediction(nasty_model, label=NASTY)
    assert_escaped(body(signed_in, f"/ui/jobs/{job.pk}/"))
    assert_escaped(body(signed_in, f"/ui/models/{nasty_model.public_id}/try/{job.pk}/"))
    Job.objects.filter(pk=job.pk).update(status="failed", result=None, error=NASTY)
    assert_escaped(body(signed_in, f"/ui/models/{nasty_model.public_id}/try/{job.pk}/"))


def test_a_data_sets_page_and_the_form_with_its_columns(signed_in: Client, nasty_job: Job) -> None:
    dataset = nasty_job.dataset
    assert_escaped(body(signed_in, f"/ui/datasets/{dataset.public_id}/"))
    assert_escaped(body(signed_in, f"/ui/jobs/new/?dataset={dataset.public_id}"))


def test_what_was_typed_into_the_form(signed_in: Client, things: Things) -> None:
    form = {"model_type": "svm", "data_path": NASTY, "description": NASTY, "hp-C": NASTY, "hp-kernel": NASTY}
    answer = signed_in.post("/ui/jobs/new/", form)
    assert answer.status_code == 422
    assert_escaped(answer.content.decode())
    answer = signed_in.get("/ui/jobs/new/fields/", {"model_type": "svm", "hp-C": NASTY, "hp-kernel": NASTY})
    assert_escaped(answer.content.decode())


def test_messages(signed_in: Client, nasty_model: TrainedModel) -> None:
    answer = signed_in.post(f"/ui/models/{nasty_model.public_id}/trash/", follow=True)
    assert_escaped(answer.content.decode())


def test_files_are_no_pages(signed_in: Client, nasty_job: Job, nasty_model: TrainedModel) -> None:
    """Who downloads text gets the text; no browser takes it for a page."""
    for path, content_type in {
        f"/ui/jobs/{nasty_job.pk}/log.txt": "text/plain; charset=utf-8",
        "/ui/jobs/export.csv": "text/csv; charset=utf-8",
        f"/ui/models/{nasty_model.public_id}/model.json": "application/json",
        f"/ui/runs/{nasty_job.run_id}/series.json": "application/json",
    }.items():
        answer = signed_in.get(path)
        assert answer["Content-Type"] == content_type
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert b"alert(1)" in (b"".join(answer) if answer.streaming else answer.content) or path.endswith(".csv")


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@A1", "\t=1", '=HYPERLINK("http://x","y")'])
def test_no_cell_of_the_csv_is_a_formula(signed_in: Client, things: Things, formula: str) -> None:
    things.failed(error=formula)
    rows = list(csv.reader(io.StringIO(body(signed_in, "/ui/jobs/export.csv"))))
    assert rows[1][-1] == f"'{formula}"


def test_a_pages_own_policy_forbids_inline_script(signed_in: Client, nasty_job: Job) -> None:
    policy = signed_in.get(f"/ui/jobs/{nasty_job.pk}/")["Content-Security-Policy"]
    scripts = next(part for part in policy.split(";") if part.strip().startswith(("script-src", "default-src")))
    assert "unsafe" not in scripts
