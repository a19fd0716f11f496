"""The contract document's own examples, for the OpenAPI document (and for its tests)."""

from typing import Any

from drf_spectacular.utils import OpenApiExample

TIME = "2023-01-01T00:00:00"

PROJECT_IN = {"name": "My Project", "description": "A machine learning project", "is_public": False}
PROJECT = {
    "id": 1,
    "name": "My Project",
    "description": "A machine learning project",
    "owner_id": 1,
    "is_public": False,
    "created_at": TIME,
    "updated_at": TIME,
}
PROJECT_CHANGE = {"name": "Updated Project Name", "description": "Updated description"}
MEMBER_IN = {"username": "bob", "role": "editor"}
MEMBER = {"user_id": 2, "username": "bob", "role": "editor"}

RUN_IN = {
    "name": "Training Run 1",
    "config": {"learning_rate": 0.001, "batch_size": 32},
    "tags": ["demo", "test"],
}
RUN = {
    "id": 1,
    "name": "Training Run 1",
    "project_id": 1,
    "status": "running",
    "config": {"learning_rate": 0.001, "batch_size": 32},
    "tags": ["demo", "test"],
    "started_at": TIME,
    "ended_at": None,
    "created_at": TIME,
    "updated_at": TIME,
    "status_reason": "",
    "notes": "",
    "archived": False,
}
RUN_ITEM = {name: RUN[name] for name in ("id", "name", "status", "started_at", "ended_at", "tags", "project_id")}
RUN_CHANGE = {"status": "completed", "ended_at": "2023-01-01T01:00:00"}

ENVIRONMENT = {
    "environment": {
        "python": "3.11.7",
        "host": "node-7",
        "command": "train.py --lr 0.001",
        "packages": ["torch==2.9.1"],
    },
    "git": {"origin": "https://example.com/me/model.git", "commit": "8f3c2d1", "branch": "main", "dirty": False},
}

METRIC_IN = {"name": "loss", "value": 0.5, "step": 1}
METRIC = {"id": 1, "run_id": 1, **METRIC_IN, "timestamp": TIME}
BATCH_METRICS = {"metrics": {"loss": 0.5, "accuracy": 0.85, "learning_rate": 0.001}, "step": 1}
BATCH_POINTS = {"points": [{"name": "loss", "value": 0.5, "step": 1, "timestamp": TIME}]}
BATCH_SERIES = {"series": {"loss": {"steps": [1, 2], "values": [0.5, "NaN"], "timestamps": [TIME, TIME]}}}
LOGGED = {"message": "Logged 3 metrics successfully"}
HISTORY = {
    "name": "loss",
    "values": [0.5, 0.4, 0.3],
    "steps": [1, 2, 3],
    "timestamps": ["2023-01-01T00:00:00", "2023-01-01T00:01:00", "2023-01-01T00:02:00"],
}
SUMMARY = {
    "name": "loss",
    "current_value": 0.3,
    "min_value": 0.1,
    "max_value": 0.8,
    "mean_value": 0.4,
    "total_points": 100,
    "next_step": 100,
}


def sent(value: Any, name: str = "example") -> OpenApiExample:
    return OpenApiExample(name, value=value, request_only=True)


def answered(value: Any, *codes: str) -> OpenApiExample:
    return OpenApiExample("answer", value=value, response_only=True, status_codes=list(codes or ("200",)))
