"""The document's "Complete Training Workflow", word for word, over a real server."""

import json
import shlex
import urllib.error
import urllib.request
from typing import Any

import pytest

pytestmark = pytest.mark.django_db(transaction=True)

REGISTER = """curl -X POST "http://localhost:8000/auth/register" \
  -H "Content-Type: application/json" \
  -d '{"email": "user@example.com", "username": "your_username", "password": "your_password"}'"""
LOGIN = """curl -X POST "http://localhost:8000/auth/login" \
  -H "Content-Type: application/x-www-form-urlencoded" \
  -d "username=your_username&password=your_password" """
CREATE_PROJECT = """curl -X POST "http://localhost:8000/projects/" \
  -H "Authorization: Bearer <token>" \
  -H "Content-Type: application/json" \
  -d '{"name": "My ML Project", "description": "Image classification"}'"""
START_RUN = """curl -X POST "http://localhost:8000/runs/?project_id=1" \
  -H "Authorization: Bearer <token>" \
  -H "Content-Type: application/json" \
  -d '{"name": "ResNet Training", "config": {"lr": 0.001}}'"""
LOG_METRICS = """curl -X POST "http://localhost:8000/metrics/1/batch" \
  -H "Authorization: Bearer <token>" \
  -H "Content-Type: application/json" \
  -d '{"metrics": {"loss": 0.5, "accuracy": 0.85}, "step": 1}'"""
COMPLETE_RUN = """curl -X PUT "http://localhost:8000/runs/1" \
  -H "Authorization: Bearer <token>" \
  -H "Content-Type: application/json" \
  -d '{"status": "completed"}'"""


def run_curl(command: str, *, base: str, token: str = "") -> tuple[int, Any]:
    """Send what the curl command would, `<token>` filled in. Raises for a redirect, which would lose the body."""
    words = shlex.split(command)
    given = {option: words[place + 1] for place, option in enumerate(words) if option in ("-X", "-d")}
    headers = [words[place + 1] for place, option in enumerate(words) if option == "-H"]
    url = next(word for word in words if word.startswith("http://")).replace("http://localhost:8000", base)
    data = given["-d"].encode() if "-d" in given else None
    request = urllib.request.Request(url, data=data, method=given.get("-X", "GET"))  # noqa: S310 - our own server
    for header in headers:
        name, _, value = header.replace("<token>", token).partition(": ")
        request.add_header(name, value)
    opener = urllib.request.build_opener(NoRedirects)
    try:
        with opener.open(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any) -> None:
        raise AssertionError(f"redirected: {arguments}")


def test_the_documents_workflow_runs_as_it_is_written(live_server: Any) -> None:
    base = live_server.url
    assert run_curl(REGISTER, base=base)[0] == 201
    status, login = run_curl(LOGIN, base=base)
    assert (status, login["token_type"]) == (200, "bearer")
    token = login["access_token"]
    status, project = run_curl(CREATE_PROJECT, base=base, token=token)
    assert (status, project["name"], project["description"]) == (201, "My ML Project", "Image classification")
    start = START_RUN.replace("project_id=1", f"project_id={project['id']}")
    status, run = run_curl(start, base=base, token=token)
    assert (status, run["status"], run["config"], run["project_id"]) == (201, "running", {"lr": 0.001}, project["id"])
    log = LOG_METRICS.replace("/metrics/1/", f"/metrics/{run['id']}/")
    assert run_curl(log, base=base, token=token) == (201, {"message": "Logged 2 metrics successfully"})
    complete = COMPLETE_RUN.replace("/runs/1", f"/runs/{run['id']}")
    status, completed = run_curl(complete, base=base, token=token)
    assert (status, completed["status"]) == (200, "completed")
    assert completed["ended_at"] >= completed["started_at"]
    read = f"""curl "http://localhost:8000/metrics/{run["id"]}/?metric_name=loss" -H "Authorization: Bearer <token>" """
    status, points = run_curl(read, base=base, token=token)
    assert (status, [(point["value"], point["step"]) for point in points]) == (200, [(0.5, 1)])
    filtered = f"""curl "http://localhost:8000/runs/?project_id={project["id"]}" -H "Authorization: Bearer <token>" """
    assert [item["status"] for item in run_curl(filtered, base=base, token=token)[1]] == ["completed"]
    paged = """curl "http://localhost:8000/projects/?skip=0&limit=10" -H "Authorization: Bearer <token>" """
    assert [item["id"] for item in run_curl(paged, base=base, token=token)[1]] == [project["id"]]
    assert run_curl(paged, base=base, token="nonsense") == (401, {"detail": "Could not validate credentials"})  # noqa: S106
