"""`AIJobClient`: submit training and inference jobs, follow them, use what they made."""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode

from ai_job_client.errors import ValidationFailed, of_transport
from ai_job_client.results import InferenceResult, TrainingResult
from ai_job_client.types import JobCancelled, JobList, JobListItem, JobStatus, JobSubmitted
from ai_job_client.uploads import FormFile
from ai_manager.api import Api, Credentials
from ai_manager.errors import AuthenticationError, Refused, SettingsError, Unavailable
from ai_manager.settings import clean_url

API_KEY_VARIABLES = ("AI_JOB_API_KEY", "AI_MANAGER_API_KEY")
FINAL = ("completed", "failed", "cancelled")
FIRST_BACKOFF, LAST_BACKOFF = 0.25, 30.0  # seconds
# A job is asked for as often as is worth while for how long it has run: at most a twentieth of that is waited too long.
SHORTEST_POLL, LONGEST_POLL, POLL_SHARE = 0.1, 5.0, 0.05
PAGE = 1000
IDEMPOTENCY_KEY = "Idempotency-Key"

OnProgress = Callable[[JobStatus], None]


class AIJobClient:
    """The job queue of one platform, as one user.

    `api_key`: by default what AI_JOB_API_KEY or AI_MANAGER_API_KEY says; without one the calls are anonymous, as a
    platform in open mode takes them. `timeout`: seconds that one request may take. `retries`: how often a request is
    repeated that got no answer, a 429 or a 5xx. A submission carries an `Idempotency-Key`, by which the server knows
    its repetition: it makes no second job. An upload is repeated only where the server cannot have taken it.

    Any thread may use a client. Every method raises `AIJobError`s: `APIError` with the server's `detail`, or
    `ConnectionFailed`.
    """

    def __init__(
        self,
        base_url: str = "http://localhost:8000",
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        retries: int = 5,
    ) -> None:
        try:
            self.base_url = clean_url(base_url)
        except SettingsError as error:
            raise ValueError(str(error)) from None
        self.retries = retries
        key = _key_from_environment() if api_key is None else api_key
        self._api = Api(self.base_url, Credentials(api_key=key), timeout=timeout, anonymous=True, agent="ai_job_client")

    # --- The contract's example -------------------------------------------------------------------------------------

    def submit_training_job(self, model_type: str, data_path: str, **kwargs: Any) -> JobSubmitted:
        """Queue a training.

        `kwargs`: hyperparameters, description, requires_gpu, framework_override; beyond the document project_id, and
        timeout, the seconds that the job may run.
        """
        order = {"model_type": model_type, "data_path": data_path, **kwargs}
        return self._submit("/jobs/training", order)

    def submit_inference_job(self, model_id: str, input_data: Any, **kwargs: Any) -> JobSubmitted:
        """Queue an inference. `input_data`: text, a path, CSV rows, a data URI, an object, or a list of these.

        `kwargs`: parameters, such as {"top_k": 5} or {"temperature": 0.7, "max_length": 100}; beyond the document
        timeout, the seconds that the job may run.
        """
        order = {"model_id": model_id, "input_data": input_data, **kwargs}
        return self._submit("/jobs/inference", order)

    def get_job_status(self, job_id: str) -> JobStatus:
        """The present state of a job."""
        return cast(JobStatus, self._call("GET", f"/jobs/{quote(job_id, safe='')}/status"))

    def wait_for_completion(
        self, job_id: str, timeout: float = 3600, *, on_progress: OnProgress | None = None
    ) -> JobStatus:
        """The last status of the job: completed, failed or cancelled.

        `on_progress` is called with each status that says something new. An outage of the server is waited out.

        Raises:
            TimeoutError: it did not end within `timeout` seconds. The job goes on.
            ConnectionFailed: the server did not answer at first, or was still away when the time was over.
        """
        started = time.monotonic()
        path = f"/jobs/{quote(job_id, safe='')}/status"
        told: JobStatus | None = None
        while True:
            # An address that never answers is told at once; a server that goes away later comes back.
            until = None if told is None else started + timeout
            status = cast(JobStatus, self._call("GET", path, until=until))
            if told is None or _news(status) != _news(told):
                told = status
                if on_progress is not None:
                    on_progress(status)
            if status["status"] in FINAL:
                return status
            waited = time.monotonic() - started
            if waited >= timeout:
                raise TimeoutError(f"Job {job_id} did not complete within {timeout} seconds")
            pause = min(max(waited * POLL_SHARE, SHORTEST_POLL), LONGEST_POLL)
            time.sleep(min(pause * random.uniform(0.9, 1.1), timeout - waited))  # noqa: S311 (no secret)

    # --- Beyond it --------------------------------------------------------------------------------------------------

    def train(
        self,
        model_type: str,
        data_path: str,
        *,
        wait_timeout: float = 3600,
        on_progress: OnProgress | None = None,
        **kwargs: Any,
    ) -> TrainingResult:
        """Submit a training (`kwargs` as above), wait for its end, and return what it made.

        Raises:
            JobFailed: it failed, or was cancelled.
            TimeoutError: see `wait_for_completion`.
        """
        job = self.submit_training_job(model_type, data_path, **kwargs)
        return TrainingResult.of(self.wait_for_completion(job["job_id"], wait_timeout, on_progress=on_progress))

    def predict(
        self,
        model_id: str,
        input_data: Any,
        *,
        wait_timeout: float = 300,
        **kwargs: Any,
    ) -> InferenceResult:
        """Submit an inference (`kwargs` as above), wait for its end, and return the predictions.

        Raises:
            JobFailed: it failed, or was cancelled.
            TimeoutError: see `wait_for_completion`.
        """
        job = self.submit_inference_job(model_id, input_data, **kwargs)
        return InferenceResult.of(self.wait_for_completion(job["job_id"], wait_timeout))

    def upload_dataset(self, path: str | os.PathLike[str], *, timeout: float = 3600) -> str:
        """Store a file on the platform; the id that it is named by as a `data_path`, or as an inference's input.

        Raises:
            OSError: the file cannot be read.
        """
        form = FormFile(Path(path))
        answer = self._call("POST", "/api/v1/datasets/upload", form, headers=form.headers, timeout=timeout)
        return str(answer["dataset_id"])

    def cancel_job(self, job_id: str) -> JobCancelled:
        """Cancel a pending or running job; its state then. One that is cancelled already stays so.

        Raises:
            ValidationFailed: it has completed or failed.
        """
        path = f"/jobs/{quote(job_id, safe='')}"
        try:
            return cast(JobCancelled, self._call("DELETE", path))
        except ValidationFailed:
            # Also after a request that was repeated because its first answer was lost.
            status = self.get_job_status(job_id)
            if status["status"] != "cancelled":
                raise
            return cast(JobCancelled, status)

    def resume_job(self, job_id: str, **kwargs: Any) -> JobSubmitted:
        """Go on with a cancelled or failed training from its last checkpoint, as a new job. `kwargs`: timeout.

        Raises:
            Conflict: no checkpoint of it is kept.
        """
        return self._submit(f"/jobs/{quote(job_id, safe='')}/resume", kwargs)

    def list_jobs(self, status: str | None = None, *, limit: int = 100, offset: int = 0) -> JobList:
        """One page of your jobs, newest first."""
        query: dict[str, Any] = {"limit": limit, "offset": offset}
        if status is not None:
            query["status"] = status
        return cast(JobList, self._call("GET", f"/jobs?{urlencode(query)}"))

    def iter_jobs(self, status: str | None = None) -> Iterator[JobListItem]:
        """All of your jobs, newest first; those submitted meanwhile may be left out."""
        seen: set[str] = set()
        offset = 0
        while True:
            page = self.list_jobs(status, limit=PAGE, offset=offset)["jobs"]
            for job in page:
                if job["job_id"] not in seen:  # new jobs push old ones onto the next page
                    seen.add(job["job_id"])
                    yield job
            offset += len(page)
            if len(page) < PAGE:
                return

    def health(self) -> dict[str, Any]:
        """What the platform says of itself: {"status", "timestamp", "version", …}."""
        return cast("dict[str, Any]", self._call("GET", "/health"))

    def close(self) -> None:
        """Close the connection; the next call opens one."""
        self._api.close()

    def __enter__(self) -> AIJobClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- Requests ---------------------------------------------------------------------------------------------------

    def _submit(self, path: str, order: Mapping[str, Any]) -> JobSubmitted:
        return cast(JobSubmitted, self._call("POST", path, order, headers={IDEMPOTENCY_KEY: uuid.uuid4().hex}))

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | FormFile | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        until: float | None = None,
    ) -> Any:
        """The decoded answer. What failed for a while is repeated: `retries` times, or up to the moment `until`."""
        backoff, tries = FIRST_BACKOFF, 0
        while True:
            try:
                return self._api.call(method, path, body, headers=headers, timeout=timeout)
            except (AuthenticationError, Refused) as error:
                raise of_transport(error) from error
            except Unavailable as error:
                tries += 1
                pause = max(error.retry_after or 0.0, backoff * random.uniform(0.5, 1.0))  # noqa: S311 (no secret)
                if until is not None:
                    given_up = time.monotonic() + pause >= until
                else:
                    given_up = tries > self.retries or pause > LAST_BACKOFF
                may_repeat = method != "POST" or not error.sent or IDEMPOTENCY_KEY in (headers or {})
                if given_up or not may_repeat:
                    raise of_transport(error) from error
                time.sleep(pause)
                backoff = min(2 * backoff, LAST_BACKOFF)


def _key_from_environment() -> str:
    return next(filter(None, (os.environ.get(name, "").strip() for name in API_KEY_VARIABLES)), "")


def _news(status: JobStatus) -> dict[str, Any]:
    """What of a status is worth telling when it changes."""
    return {name: value for name, value in status.items() if name != "updated_at"}
