"""How the automl contract words its errors."""

from typing import Any

from api.base.dialect import Dialect, Problem


def detail_body(problem: Problem) -> dict[str, Any]:
    """`{"detail"}`, with `errors` by field where input was refused."""
    body: dict[str, Any] = {"detail": problem.message}
    if problem.errors:
        body["errors"] = {name: list(sentences) for name, sentences in problem.errors.items()}
    if "request_id" in problem.details:
        body["request_id"] = problem.details["request_id"]
    return body


AUTOML = Dialect(
    name="automl",
    title="AutoML",
    description="Configuration templates, training and trained models.",
    prefixes=("/v1",),
    body=detail_body,
    open=False,
)
