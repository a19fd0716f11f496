"""How the job-queue contract words its errors."""

from http import HTTPStatus
from typing import Any

from api.base.dialect import Dialect, Problem, field_sentences

TITLES = {
    "invalid": "Validation error",
    "dataset_error": "Data set error",
    "unauthenticated": "Unauthorized",
    "forbidden": "Forbidden",
    "not_found": "Not found",
    "not_cancellable": "Job cannot be cancelled",
    "internal": "Internal server error",
}


def queue_body(problem: Problem) -> dict[str, Any]:
    """`{"error", "detail", "status_code"}`: what kind of error, and one text with all there is to say of it."""
    body: dict[str, Any] = {
        "error": TITLES.get(problem.code) or HTTPStatus(problem.status).phrase,
        "detail": "; ".join(field_sentences(problem)) or problem.message,
        "status_code": problem.status,
    }
    if "request_id" in problem.details:
        body["request_id"] = problem.details["request_id"]
    return body


JOB_QUEUE = Dialect(
    name="job-queue",
    title="Job queue",
    description="Training and inference jobs, routed to the workers of their framework.",
    prefixes=("/jobs", "/health"),
    body=queue_body,
    open=True,
    statuses={"invalid": 422, "dataset_error": 422, "not_cancellable": 400},
)
