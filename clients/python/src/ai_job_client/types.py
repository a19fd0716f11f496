"""What the job-queue contract answers: plain dictionaries, named here for type checkers."""

from __future__ import annotations

from typing import Any, TypedDict


class JobSubmitted(TypedDict):
    """Answer of a submission."""

    job_id: str
    status: str  # "queued"
    created_at: str  # ISO 8601, UTC
    estimated_duration: str  # "00:15:00"


class _JobStatus(TypedDict):
    job_id: str
    status: str  # pending, running, completed, failed, cancelled
    created_at: str
    updated_at: str
    progress: float  # 0 to 1
    result: dict[str, Any] | None  # fills as the work goes on


class JobStatus(_JobStatus, total=False):
    """State of a job. `error` is there when it failed or was cancelled."""

    job_type: str  # training, inference
    message: str  # what it is doing or waits for
    attempt: int
    timeout: float | None  # seconds that it may run
    error: str
    error_kind: str  # whose fault: own, timeout, infrastructure, internal
    resumable: bool  # a checkpoint is kept


class JobCancelled(TypedDict):
    """Answer of a cancellation."""

    job_id: str
    status: str  # "cancelled"
    created_at: str
    updated_at: str
    error: str


class JobListItem(TypedDict, total=False):
    """One job of a list."""

    job_id: str
    job_type: str
    status: str
    created_at: str
    model_type: str
    model_id: str | None
    description: str
    progress: float


class JobList(TypedDict):
    """One page of jobs, newest first; `total` counts all of them."""

    jobs: list[JobListItem]
    total: int
    limit: int
    offset: int
