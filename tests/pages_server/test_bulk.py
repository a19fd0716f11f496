"""Several jobs at once: the question says what will happen, the answer how many it happened to."""

import re
from html import unescape

import pytest
from django.test import Client

from jobs.models import Job
from jobs.services.bulk import MAX_JOBS
from tests.pages_server.things import Things, reread

PATH = "/ui/jobs/bulk/"


def asked(client: Client, action: str, jobs: list[Job]) -> str:
    """The question, as text."""
    answer = client.post(PATH, {"action": action, "job": [str(job.pk) for job in jobs]}, headers={"HX-Request": "true"})
    assert answer.status_code == 200
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def done(client: Client, action: str, jobs: list[Job], **more: str) -> list[str]:
    """What is said afterwards."""
    data = {"action": action, "job": [str(job.pk) for job in jobs], "confirmed": "1", **more}
    page = client.post(PATH, data, follow=True).content.decode()
    return [unescape(text) for text in re.findall(r"</svg><span>(.*?)</span>", page)]


def test_cancelling_says_what_will_happen_to_how_many_and_does_it(signed_in: Client, things: Things) -> None:
    running, first, second, failed = things.running(), things.training(), things.training(), things.failed()
    jobs = [running, first, second, failed]
    question = asked(signed_in, "cancel", jobs)
    assert "Cancel 3 jobs?" in question
    assert "1 job is running: stopped within seconds" in question
    assert "2 jobs are waiting: never started" in question
    assert "1 job has ended already, and is left as it is" in question
    assert [reread(job).status for job in jobs] == ["running", "pending", "pending", "failed"], "nothing is done yet"
    said = done(signed_in, "cancel", jobs)
    assert said[0].startswith("3 jobs are cancelled")
    assert said[1].startswith("1 job is left as it is") and "already failed" in said[1]
    assert [reread(job).status for job in jobs] == ["cancelled", "cancelled", "cancelled", "failed"]


def test_running_again_submits_the_same_orders_as_new_jobs(signed_in: Client, things: Things) -> None:
    jobs = [things.failed(hyperparameters={"n_estimators": 7}), things.training()]
    question = asked(signed_in, "again", jobs)
    assert "Run again 2 jobs?" in question and "1 job of them is not over yet" in question
    assert done(signed_in, "again", jobs)[0] == "2 jobs are submitted again, as new jobs."
    again = Job.objects.exclude(pk__in=[job.pk for job in jobs])
    assert {job.retry_of for job in again} == set(jobs)
    assert again.get(retry_of=jobs[0]).hyperparameters == {"n_estimators": 7}


def test_what_cannot_be_run_again_is_counted_with_its_reason(signed_in: Client, things: Things) -> None:
    jobs = [things.failed(), things.failed()]
    signed_in.post(f"/ui/datasets/{jobs[0].dataset.public_id}/trash/")
    said = done(signed_in, "again", jobs)
    assert said[0].startswith("1 job is submitted again")
    assert jobs[0].data_path in said[1]


def test_without_script_the_question_is_a_page(signed_in: Client, things: Things) -> None:
    job = things.training()
    page = signed_in.post(PATH, {"action": "cancel", "job": str(job.pk), "next": "status=pending"}).content.decode()
    assert "<h1>Cancel jobs</h1>" in page and "1 job is waiting" in page
    assert 'href="/ui/jobs/?status=pending"' in page
    assert reread(job).status == "pending"


def test_one_comes_back_to_the_list_as_it_was_and_nowhere_else(signed_in: Client, things: Things) -> None:
    data = {"action": "cancel", "job": str(things.training().pk), "confirmed": "1"}
    assert signed_in.post(PATH, data | {"next": "status=pending&q=a%20b"})["Location"] == (
        "/ui/jobs/?status=pending&q=a%20b"
    )
    for next_ in ("//evil.example", "https://evil.example/", "\r\nX: y", "#x", "é"):
        assert signed_in.post(PATH, data | {"next": next_})["Location"].startswith("/ui/jobs/")


@pytest.mark.parametrize("job", ["", "nothing", "job_", "9" * 5000, "🌳"])
def test_without_a_choice_nothing_is_done(signed_in: Client, job: str) -> None:
    page = signed_in.post(PATH, {"action": "cancel", "job": job}, follow=True).content.decode()
    assert "Choose jobs first" in page


def test_an_act_that_there_is_not_is_none(signed_in: Client, things: Things) -> None:
    job = things.training()
    signed_in.post(PATH, {"action": "delete", "job": str(job.pk), "confirmed": "1"})
    assert reread(job).status == "pending"


def test_all_of_a_list_can_be_meant_and_what_is_confirmed_is_what_was_asked(
    signed_in: Client, things: Things, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.views.bulk.MAX_JOBS", 2)
    old, ended, middle, new = things.training(), things.failed(), things.training(), things.training()
    other = things.training(model_type="svm")
    order = {"action": "cancel", "every": "1", "next": "model_type=random_forest&page=3", "job": str(other.pk)}
    page = signed_in.post(PATH, order).content.decode()
    assert "2 jobs are waiting" in page and "these are the newest" in page
    chosen = re.findall(r'name="job" value="([^"]+)"', page)
    assert chosen == [str(new.pk), str(middle.pk)]
    signed_in.post(PATH, {"action": "cancel", "confirmed": "1", "job": chosen})
    assert {reread(job).status for job in (new, middle)} == {"cancelled"}
    assert [reread(job).status for job in (old, ended, other)] == ["pending", "failed", "pending"]


def test_more_than_can_be_at_once_is_refused(signed_in: Client, things: Things) -> None:
    ids = [f"00000000-0000-4000-8000-{number:012}" for number in range(MAX_JOBS + 5)]
    page = signed_in.post(PATH, {"action": "cancel", "job": ids, "confirmed": "1"}, follow=True).content.decode()
    assert f"More than {MAX_JOBS} jobs are chosen" in page


def test_anothers_jobs_are_neither_counted_nor_touched(signed_in: Client, things: Things, bobs: Things) -> None:
    theirs = bobs.training()
    assert "There is nothing to be done" in asked(signed_in, "cancel", [theirs])
    said = done(signed_in, "cancel", [theirs])
    assert said == ["1 job is left as it is: It is not there any more."]
    assert reread(theirs).status == "pending"


# --- The list ---------------------------------------------------------------------------------------------------------


def test_the_queue_in_the_address_is_a_chip_that_can_be_taken_away(signed_in: Client, things: Things) -> None:
    things.training()
    page = signed_in.get("/ui/jobs/", {"queue": "sklearn", "status": "pending"}).content.decode()
    assert "Queue: Scikit-learn" in page
    assert 'href="/ui/jobs/?status=pending" aria-label="Show the jobs of all queues"' in page
    assert 'class="chip"' not in signed_in.get("/ui/jobs/").content.decode()


def test_the_choice_of_a_status_says_how_many_there_are(signed_in: Client, things: Things) -> None:
    things.training(), things.failed(), things.failed()
    page = signed_in.get("/ui/jobs/").content.decode()
    assert "Failed (2)" in page and "Pending (1)" in page and "Running (0)" in page
