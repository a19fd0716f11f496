"""How the metric-learning contract words its errors."""

from typing import Any

from api.base.dialect import Dialect, Problem

TYPES = {"invalid": "validation_error", "internal": "internal_error", "unauthenticated": "unauthorized"}


def typed_body(problem: Problem) -> dict[str, Any]:
    """`{"error": type, "message", "details"}`."""
    details = dict(problem.details)
    if problem.errors:
        details["errors"] = {name: list(sentences) for name, sentences in problem.errors.items()}
    return {"error": TYPES.get(problem.code, problem.code), "message": problem.message, "details": details}


METRIC_LEARNING = Dialect(
    name="metric-learning",
    title="Metric learning",
    description="Triplet-loss embedding networks, trained per tenant.",
    prefixes=("/api/v1/train",),
    body=typed_body,
    open=True,
    # Its document lists 200, 404, 422 and 500: what the present state forbids is nearest to 422.
    statuses={"invalid": 422, "dataset_error": 422, "conflict": 422, "not_cancellable": 422},
)
