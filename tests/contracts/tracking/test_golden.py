"""Every answer and every error body of the contract, whole, as they are kept in golden/."""

from pathlib import Path
from typing import Any

import pytest

from api.tracking import documents
from tests.contracts.golden import assert_golden
from tests.contracts.tracking.conftest import Api
from tracking.models import Project, User

GOLDEN = Path(__file__).parent / "golden"
pytestmark = pytest.mark.django_db


def plain(value: Any) -> Any:
    """Ids of rows depend on the tests that ran before."""
    if isinstance(value, dict):
        return {name: "<id>" if name == "id" or name.endswith("_id") else plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def test_what_is_made_read_and_listed(api: Api, project_id: int) -> None:
    answers = {
        "project_created": api.call("POST", "/projects/", documents.PROJECT_IN),
        "project_updated": api.call("PUT", f"/projects/{project_id}", documents.PROJECT_CHANGE),
        "projects": api.call("GET", "/projects/?limit=1&skip=1"),
        "run_created": api.call("POST", f"/runs/?project_id={project_id}", documents.RUN_IN),
    }
    run = answers["run_created"].body["id"]
    answers |= {
        "metric_logged": api.call("POST", f"/metrics/{run}", {**documents.METRIC_IN, "timestamp": documents.TIME}),
        "batch_logged": api.call("POST", f"/metrics/{run}/batch", documents.BATCH_METRICS),
        "metrics": api.call("GET", f"/metrics/{run}?metric_name=loss"),
        "history": api.call("GET", f"/metrics/{run}/history/accuracy"),
        "summary": api.call("GET", f"/metrics/{run}/summary"),
        "run_completed": api.call("PUT", f"/runs/{run}", documents.RUN_CHANGE),
        "runs": api.call("GET", f"/runs/?project_id={project_id}"),
        "members": api.call("GET", f"/projects/{project_id}/members"),
    }
    for name, answer in answers.items():
        assert answer.status in (200, 201)
        assert_golden(GOLDEN, name, plain(answer.body))


def test_every_error_body(api: Api, project_id: int, run_id: int, make_user: Any, settings: Any) -> None:
    bob: User = make_user("bob")
    theirs = Project.objects.create(owner=bob, name="theirs")
    answers = {
        (400, "error_validation"): api.call("POST", f"/metrics/{run_id}", {"name": "", "valeu": 1}),
        (400, "error_malformed"): api.call("POST", "/projects/", b"{"),
        (401, "error_credentials"): Api("nonsense").call("GET", "/projects/"),
        (403, "error_permissions"): api.call("GET", f"/projects/{theirs.pk}"),
        (404, "error_not_found"): api.call("GET", "/runs/0"),
        (404, "error_no_such_path"): api.call("GET", "/runs/nope/nope"),
        (404, "error_no_such_metric"): api.call("GET", f"/metrics/{run_id}/history/loss"),
        (405, "error_method"): api.call("DELETE", "/projects/"),
        (413, "error_too_large"): api.call("POST", "/projects/", b" " * (16 * 1024 * 1024 + 1)),
    }
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "tracking_minute": "1/m"}
    answers[429, "error_rate"] = api.call("GET", "/projects/")
    for (status, name), answer in answers.items():
        assert answer.status == status
        body = {
            field: text.replace(str(run_id), "<id>") if field == "reason" else text
            for field, text in answer.body.items()
        }
        assert_golden(GOLDEN, name, body)
