"""Training and inference jobs on the AutoML platform: `AIJobClient`, and what its calls answer."""

from ai_job_client.client import AIJobClient
from ai_job_client.errors import (
    AIJobError,
    APIError,
    AuthenticationFailed,
    Conflict,
    ConnectionFailed,
    JobFailed,
    NotFound,
    RateLimited,
    ValidationFailed,
)
from ai_job_client.results import InferenceResult, Prediction, TrainingResult
from ai_job_client.types import JobCancelled, JobList, JobListItem, JobStatus, JobSubmitted
from ai_manager.version import __version__

__all__ = [
    "AIJobClient",
    "AIJobError",
    "APIError",
    "AuthenticationFailed",
    "Conflict",
    "ConnectionFailed",
    "InferenceResult",
    "JobCancelled",
    "JobFailed",
    "JobList",
    "JobListItem",
    "JobStatus",
    "JobSubmitted",
    "NotFound",
    "Prediction",
    "RateLimited",
    "TrainingResult",
    "ValidationFailed",
    "__version__",
]
