"""A run's page: its files and what it was made with, as text that no browser takes for markup."""

import io

import pytest

from jobs.services.artifacts import artifact_put
from tracking.services.environments import environment_set
from tracking.services.projects import project_create
from tracking.services.runs import run_create

pytestmark = pytest.mark.django_db

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def run(user):
    return run_create(project=project_create(owner=user, name="garden"), name="rose", config={}, tags=[])


@pytest.fixture
def page(client, user, run):
    client.force_login(user)

    def page(tab):
        answer = client.get(f"/ui/runs/{run.pk}/?tab={tab}")
        assert answer.status_code == 200
        return answer.content.decode()

    return page


def test_without_files_the_page_tells_how_to_upload_one(page, run):
    assert f"/runs/{run.pk}/artifacts/checkpoints/model.pt" in page("files")


def test_files_are_listed_and_downloaded_with_the_session(client, page, user, run):
    artifact_put(user=user, run_id=run.pk, path="a b/<b>.html", file=io.BytesIO(EVIL.encode()))
    text = page("files")
    assert "a b/&lt;b&gt;.html" in text
    address = f"/runs/{run.pk}/artifacts/a%20b/%3Cb%3E.html"
    assert address in text
    answer = client.get(address)
    assert b"".join(answer.streaming_content).decode() == EVIL
    assert answer["Content-Type"] == "application/octet-stream"


def test_the_environment_is_shown_as_text(page, run):
    assert "Nothing is known" in page("environment")
    environment_set(run_id=run.pk, environment={"python": EVIL}, git={"commit": "8f3c2d1", "diff": EVIL})
    text = page("environment")
    assert "8f3c2d1" in text
    assert EVIL not in text
    assert text.count("&lt;script&gt;") >= 2
