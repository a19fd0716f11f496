"""The browsable API: who is signed in reads pages, and sends their forms."""

import html
import json
import re
from typing import Any

import pytest
from django.test import Client

from tests.contracts.tracking.conftest import Api
from tracking.models import User

pytestmark = pytest.mark.django_db
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def browser(user: User) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


def forms(page: str) -> list[dict[str, Any]]:
    """What the page's forms would send as they stand."""
    areas = re.findall(r'<textarea[^>]*name="_content"[^>]*>(.*?)</textarea>', page, re.DOTALL)
    return [json.loads(html.unescape(area)) for area in areas if area.strip()]


def send(browser: Client, page: Any, method: str, path: str, body: Any) -> Any:
    """As the page's script does: the form's content, and the session's CSRF token."""
    token = re.search(r'"?csrfToken"?:\s*"(\w+)"', page.content.decode())
    assert token is not None
    return browser.generic(
        method, path, json.dumps(body), content_type="application/json", headers={"X-CSRFToken": token[1], **BROWSER}
    )


@pytest.mark.parametrize(
    "path",
    [
        "/projects/",
        "/projects/{project_id}",
        "/projects/{project_id}/members",
        "/runs/",
        "/runs/{run_id}",
        "/metrics/{run_id}",
        "/metrics/{run_id}/batch",
        "/metrics/{run_id}/summary",
        "/metrics/{run_id}/history/loss",
    ],
)
def test_every_endpoint_has_its_page(browser: Client, api: Api, project_id: int, run_id: int, path: str) -> None:
    api.call("POST", f"/metrics/{run_id}", b'{"name": "loss", "value": NaN}')
    page = browser.get(path.format(project_id=project_id, run_id=run_id), headers=BROWSER)
    assert page.status_code == (405 if path.endswith("/batch") else 200)
    assert page["Content-Type"].startswith("text/html")


def test_the_forms_make_a_project_a_run_and_its_metrics(browser: Client) -> None:
    page = browser.get("/projects/", headers=BROWSER)
    (order,) = forms(page.content.decode())
    assert order == {"name": "My Project", "description": "A machine learning project", "is_public": False}
    made = send(browser, page, "POST", "/projects/", order)
    assert made.status_code == 201
    project = browser.get("/projects/?name=My+Project").json()[0]

    where = f"/runs/?project_id={project['id']}"
    page = browser.get(where, headers=BROWSER)
    (order,) = forms(page.content.decode())
    assert order["name"] == "Training Run 1"
    assert send(browser, page, "POST", where, order).status_code == 201
    run = browser.get(where).json()[0]

    where = f"/metrics/{run['id']}"
    page = browser.get(where, headers=BROWSER)
    (order,) = forms(page.content.decode())
    assert order == {"name": "loss", "value": 0.5, "step": 1}
    assert send(browser, page, "POST", where, order).status_code == 201
    assert len(browser.get(where).json()) == 1


def test_the_form_of_a_change_holds_what_is_there(browser: Client, api: Api, run_id: int) -> None:
    api.call("PUT", f"/runs/{run_id}", {"tags": ["kept"], "config": {"lr": 0.1}})
    page = browser.get(f"/runs/{run_id}", headers=BROWSER)
    put, *_ = forms(page.content.decode())
    assert (put["name"], put["tags"], put["config"]) == ("Training Run 1", ["kept"], {"lr": 0.1})
    changed = send(browser, page, "PUT", f"/runs/{run_id}", {**put, "name": "By hand"})
    assert changed.status_code == 200
    assert api.call("GET", f"/runs/{run_id}").body["name"] == "By hand"
