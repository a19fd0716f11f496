"""How the llm-pipelines contract words its errors."""

from typing import Any

from api.base.dialect import Dialect, Problem, is_required

CODES = {
    "invalid": "VALIDATION_ERROR",
    "malformed": "VALIDATION_ERROR",
    "error": "VALIDATION_ERROR",
    "dataset_error": "DATASET_ERROR",
    "storage_error": "STORAGE_ERROR",
    "not_found": "NOT_FOUND",
    "unauthenticated": "UNAUTHORIZED",
    "forbidden": "FORBIDDEN",
    "method_not_allowed": "METHOD_NOT_ALLOWED",
    "conflict": "CONFLICT",
    "not_cancellable": "CONFLICT",
    "too_large": "PAYLOAD_TOO_LARGE",
    "unsupported_media_type": "UNSUPPORTED_MEDIA_TYPE",
    "rate_limited": "RATE_LIMITED",
    "unavailable": "INTERNAL_ERROR",
    "internal": "INTERNAL_ERROR",
}


def coded_body(problem: Problem) -> dict[str, Any]:
    """`{"error": CODE, "message", "metadata"}`; refused fields stand in `metadata.errors`, one object a complaint."""
    metadata = dict(problem.details)
    if problem.errors:
        metadata["errors"] = [
            {"field": name, "message": "field required" if is_required(sentence) else str(sentence)}
            for name, sentences in problem.errors.items()
            for sentence in sentences
        ]
    message = "Input validation failed" if problem.message == "Validation error" else problem.message
    return {"error": CODES.get(problem.code, problem.code.upper()), "message": message, "metadata": metadata}


LLM_PIPELINES = Dialect(
    name="llm-pipelines",
    title="LLM pipelines",
    description="Data sets, pipelines of agents, logs and models.",
    prefixes=("/api/v1",),
    body=coded_body,
    open=True,
    statuses={"storage_error": 500},
)
