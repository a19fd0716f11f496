"""Cancelling, running again, and the trash."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from automl_site.errors import Conflict, Forbidden, NotCancellable, NotFound
from jobs import lifecycle
from jobs.models import Attempt, Job, JobStatus, TrainedModel
from jobs.services.idempotency import job_submitted
from jobs.services.limits import highest_priority
from jobs.services.submission import inference_submit, training_submit
from tracking.models import Project, User
from tracking.services.metrics import Idempotency


def job_cancel(*, user: User, job: Job) -> Job:
    """Cancel a pending or running job; it is `cancelled` when this returns, its processes are gone a few seconds later.

    Raises:
        Forbidden: the user may see the job but not change it.
        NotCancellable: it has ended already.
    """
    _must_change(user, job)
    if not lifecycle.cancel(job=job):
        job.refresh_from_db()
        raise NotCancellable(f"Job cannot be cancelled: it is already {job.status}", details={"status": job.status})
    job.refresh_from_db()
    return job


def job_run_again(*, user: User, job: Job, hyperparameters: Mapping[str, Any] | None = None) -> Job:
    """Submit the same order anew, as the caller's own job; with other hyperparameters, if given.

    Raises: what submitting raises; Conflict when the model of an inference is gone.
    """
    if job.kind == Job.Kind.INFERENCE:
        if job.model is None or job.model.deleted_at is not None:
            raise Conflict("The model of this job is gone; choose another one.")
        return inference_submit(
            user=user,
            model_id=job.model.public_id,
            input_data=job.input_data,
            parameters=job.parameters,
            priority=min(job.priority, highest_priority(user)),
            timeout=job.timeout_seconds,
            contract=job.contract,
            retry_of=job,
        )
    return _submit_training(user=user, job=job, hyperparameters=hyperparameters, timeout=job.timeout_seconds)


def job_resume(*, user: User, job: Job, timeout: float | None = None, idempotency: Idempotency | None = None) -> Job:
    """Submit a training that was cancelled or has failed anew, as the caller's own job, to go on from its checkpoint.

    `timeout`: seconds; None: as before. `idempotency`: as `training_submit` takes it.

    Raises: what submitting raises; Conflict when there is nothing to go on from.
    """
    if earlier := job_submitted(idempotency):
        return earlier
    if job.kind != Job.Kind.TRAINING or job.status not in (JobStatus.CANCELLED, JobStatus.FAILED):
        raise Conflict("Only a training that was cancelled or has failed can be resumed.")
    if not job.checkpoint_host and job.attempts.filter(status=Attempt.Status.RUNNING).exists():
        raise Conflict("The job's processes are about to end; try again in a few seconds.")
    if not job.checkpoint_host:
        raise Conflict("No checkpoint of this job is kept; run it again instead.")
    seconds = job.timeout_seconds if timeout is None else timeout
    return _submit_training(user=user, job=job, timeout=seconds, resumes=True, idempotency=idempotency)


def _submit_training(
    *,
    user: User,
    job: Job,
    timeout: float | None,
    hyperparameters: Mapping[str, Any] | None = None,
    resumes: bool = False,
    idempotency: Idempotency | None = None,
) -> Job:
    editable = job.project is not None and Project.objects.changeable_by(user).filter(pk=job.project.pk).exists()
    return training_submit(
        user=user,
        model_type=job.model_type,
        data_path=job.data_path,
        hyperparameters=job.hyperparameters if hyperparameters is None else hyperparameters,
        description=job.description,
        requires_gpu=job.requires_gpu,
        framework_override=job.framework_override,
        project_id=job.project_id if editable else None,
        priority=min(job.priority, highest_priority(user)),
        timeout=timeout,
        contract=job.contract,
        retry_of=job,
        resumes=resumes,
        idempotency=idempotency,
    )


@transaction.atomic
def model_trash(*, user: User, model: TrainedModel) -> None:
    """Put a model into the trash: it answers no inference until it is restored.

    Raises:
        Forbidden: the user may see it but not change it.
        Conflict: an inference with it is pending or running.
    """
    if not TrainedModel.objects.changeable_by(user).filter(pk=model.pk).exists():
        raise Forbidden
    if model.inferences.live().exists():
        raise Conflict("An inference with this model is pending or running; cancel it first.")
    TrainedModel.objects.filter(pk=model.pk, deleted_at__isnull=True).update(deleted_at=timezone.now())


@transaction.atomic
def model_restore(*, user: User, model: TrainedModel) -> None:
    """Take a model out of the trash. Raises Forbidden."""
    if not TrainedModel.objects.changeable_by(user).filter(pk=model.pk).exists():
        raise Forbidden
    TrainedModel.objects.filter(pk=model.pk).update(deleted_at=None)


def _must_change(user: User, job: Job) -> None:
    if Job.objects.changeable_by(user).filter(pk=job.pk).exists():
        return
    if Job.objects.visible_to(user).filter(pk=job.pk).exists():
        raise Forbidden
    raise NotFound("Job not found")
