"""The same order as a command to copy: what a page shows as "as curl" and "as Python"."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from jobs.models import Job, TrainedModel

MAX_SHOWN = 5_000  # characters of a text in a command to copy
MAX_ITEMS = 100  # … and members of a list


def order_of(job: Job) -> tuple[str, dict[str, Any]]:
    """(path, body) of the request that submits such a job."""
    if job.kind == Job.Kind.INFERENCE:
        model_id = job.model.public_id if job.model else ""
        given = _shown(job.input_data)
        return "jobs/inference", {"model_id": model_id, "input_data": given, "parameters": job.parameters}
    body = {
        "model_type": job.model_type,
        "data_path": job.data_path,
        "hyperparameters": job.hyperparameters,
        "description": job.description,
        "requires_gpu": job.requires_gpu,
        "framework_override": job.framework_override,
        "priority": job.priority,
        "timeout": job.timeout_seconds,
    }
    return "jobs/training", _filled(body)


def _shown(given: Any) -> Any:
    """An inference's input without what nobody reads: an image as text is megabytes long, and rows are thousands."""
    if isinstance(given, str) and len(given) > MAX_SHOWN:
        return f"{given[:60]}…"
    if isinstance(given, dict):
        return {name: _shown(each) for name, each in given.items()}
    if not isinstance(given, list):
        return given
    more = [f"… and {len(given) - MAX_ITEMS:,} more"] if len(given) > MAX_ITEMS else []
    return [*map(_shown, given[:MAX_ITEMS]), *more]


def _filled(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value}


def job_as_curl(job: Job, base: str) -> str:
    return as_curl(*order_of(job), base)


def job_as_python(job: Job, base: str) -> str:
    return as_python(*order_of(job), base)


def training_as_curl(order: Mapping[str, Any], base: str) -> str:
    """A training that is not submitted yet; `order` is the request's body, empty values are left out."""
    return as_curl("jobs/training", _filled(order), base)


def training_as_python(order: Mapping[str, Any], base: str) -> str:
    return as_python("jobs/training", _filled(order), base)


def prediction_as_curl(model: TrainedModel, order: tuple[Any, dict[str, Any]], base: str) -> str:
    """`order`: an inference's input and parameters."""
    return as_curl("jobs/inference", _prediction(model, order), base)


def prediction_as_python(model: TrainedModel, order: tuple[Any, dict[str, Any]], base: str) -> str:
    return as_python("jobs/inference", _prediction(model, order), base)


def _prediction(model: TrainedModel, order: tuple[Any, dict[str, Any]]) -> dict[str, Any]:
    input_data, parameters = order
    return _filled({"model_id": model.public_id, "input_data": input_data, "parameters": parameters})


def as_curl(path: str, body: dict[str, Any], base: str) -> str:
    return (
        f"curl -X POST {shlex.quote(base + path)} \\\n"
        '  -H "Authorization: Bearer $AUTOML_TOKEN" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        f"  -d {shlex.quote(json.dumps(body, indent=2))}"
    )


def as_python(path: str, body: dict[str, Any], base: str) -> str:
    return (
        "import os\n\nimport requests\n\n"
        "answer = requests.post(\n"
        f"    {base + path!r},\n"
        '    headers={"Authorization": f"Bearer {os.environ[\'AUTOML_TOKEN\']}"},\n'
        f"    json={body!r},\n"
        ")\nprint(answer.json())"
    )
