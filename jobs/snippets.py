"""The same order as a command to copy: what a page shows as "as curl" and "as Python"."""

import json
import shlex
from typing import Any

from jobs.models import Job, TrainedModel


def order_of(job: Job) -> tuple[str, dict[str, Any]]:
    """(path, body) of the request that submits such a job."""
    if job.kind == Job.Kind.INFERENCE:
        model_id = job.model.public_id if job.model else ""
        return "jobs/inference", {"model_id": model_id, "input_data": job.input_data, "parameters": job.parameters}
    body = {
        "model_type": job.model_type,
        "data_path": job.data_path,
        "hyperparameters": job.hyperparameters,
        "description": job.description,
        "requires_gpu": job.requires_gpu,
        "framework_override": job.framework_override,
    }
    return "jobs/training", {name: value for name, value in body.items() if value}


def job_as_curl(job: Job, base: str) -> str:
    return as_curl(*order_of(job), base)


def job_as_python(job: Job, base: str) -> str:
    return as_python(*order_of(job), base)


def prediction_as_curl(model: TrainedModel, row: dict[str, Any], base: str) -> str:
    return as_curl("jobs/inference", _prediction(model, row), base)


def prediction_as_python(model: TrainedModel, row: dict[str, Any], base: str) -> str:
    return as_python("jobs/inference", _prediction(model, row), base)


def _prediction(model: TrainedModel, row: dict[str, Any]) -> dict[str, Any]:
    return {"model_id": model.public_id, "input_data": [row]}


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
