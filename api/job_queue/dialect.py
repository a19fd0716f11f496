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
    """`{"error", "detail", "status_code"}`: what kind of error, and the first thing to mend; `errors` has all."""
    sentences = field_sentences(problem)
    body: dict[str, Any] = {
        "error": TITLES.get(problem.code) or HTTPStatus(problem.status).phrase,
        "detail": sentences[0] if sentences else problem.message,
        "status_code": problem.status,
    }
    if len(sentences) > 1:
        body["errors"] = sentences
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
