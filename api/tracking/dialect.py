"""How the tracking contract words its errors."""

from typing import Any

from api.base.dialect import Dialect, Problem

# The document's own words; anything more particular that there is to say goes beside them, as `reason`.
WORDS = {
    "invalid": "Validation error",
    "unauthenticated": "Could not validate credentials",
    "forbidden": "Not enough permissions",
    "not_found": "Resource not found",
    "internal": "Internal server error",
}


def detail_body(problem: Problem) -> dict[str, Any]:
    """`{"detail"}`, with `errors` by field where input was refused."""
    words = WORDS.get(problem.code)
    body: dict[str, Any] = {"detail": words or problem.message}
    if problem.errors:
        body["errors"] = {name: list(sentences) for name, sentences in problem.errors.items()}
    elif words and problem.message != words:
        body["reason"] = problem.message
    if "request_id" in problem.details:
        body["request_id"] = problem.details["request_id"]
    return body


TRACKING = Dialect(
    name="tracking",
    title="Tracking",
    description="Users, projects, runs and metrics.",
    prefixes=("/auth", "/projects", "/runs", "/metrics", "/ws"),
    body=detail_body,
    open=False,
    statuses={"conflict": 400, "not_cancellable": 400},
)
