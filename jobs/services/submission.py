"""Submitting work: everything that can be wrong with an order is found here, before it is queued."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from pydantic import BaseModel

from automl_site.errors import FieldErrors, InvalidSpec
from datasets_app import paths
from jobs import queue
from jobs.models import Job, new_model_id
from jobs.parameters import InferenceParameters
from jobs.routing import ROUTES, QueueSpec, RoutingError, inference_queue, route
from jobs.selectors.models import model_get
from jobs.selectors.scheduling import estimated_seconds
from jobs.services.hyperparameter_files import named_files
from jobs.services.idempotency import job_submitted, submission_keep
from jobs.services.inference_inputs import inference_input
from jobs.services.limits import check_priority, check_room_for_one, hold_submissions
from tracking import text
from tracking.models import Run, User
from tracking.services.metrics import Idempotency
from tracking.services.projects import project_for_submission
from tracking.services.runs import run_create
from trainers import registry
from trainers.configs.checks import check
from trainers.protocol import ConfigProblem

MIN_TIMEOUT, MAX_TIMEOUT = 1.0, 365 * 86_400.0  # seconds that an order may give


def training_submit(
    *,
    user: User,
    model_type: str,
    data_path: str,
    hyperparameters: Mapping[str, Any] | None = None,
    description: str = "",
    requires_gpu: bool = False,
    framework_override: str = "",
    project_id: int | None = None,
    priority: int = 0,
    timeout: float | None = None,
    contract: str = "job_queue",
    retry_of: Job | None = None,
    resumes: bool = False,
    idempotency: Idempotency | None = None,
) -> Job:
    """Check a training's order, write its job and its run, and wake a worker.

    `timeout`: seconds that its attempts may take together. `resumes`: it goes on from `retry_of`'s last checkpoint.
    With `idempotency`, an order that was taken before makes no second job: the first one is returned.

    Raises:
        Conflict: the idempotency key has come with another order.
        InvalidSpec: model type, routing, hyperparameters, data path, priority or timeout; `errors` names the fields.
        NotFound: the project.
        Forbidden: the project, the priority.
        TooManyPending: the user's limit is reached.
    """
    if earlier := job_submitted(idempotency):
        return earlier
    # Before the transaction, whose lock on SQLite is every writer's: workers wait for it.
    spec = _route(model_type, requires_gpu=requires_gpu, framework_override=framework_override)
    config = _check_hyperparameters(model_type, hyperparameters or {})
    _check_storable("description", description)
    check_priority(user, priority)
    seconds = _timeout(timeout, bound=settings.JOBS["training_timeout"])
    data = paths.resolve(user=user, text=data_path)
    named_files(user=user, config=config)
    estimate = estimated_seconds(kind=Job.Kind.TRAINING, model_type=model_type)
    with _refused_if_gone(lambda: paths.resolve(user=user, text=data_path)), transaction.atomic():
        if earlier := _taken_meanwhile(user, idempotency):
            return earlier
        check_room_for_one(user)
        project = project_for_submission(user=user, project_id=project_id)
        run = run_create(
            project=project,
            name=description.strip().splitlines()[0][:200]
            if description.strip()
            else f"{model_type} on {data_path}"[:200],
            config={"model_type": model_type, "data_path": data_path, "hyperparameters": dict(hyperparameters or {})},
            tags=["job", model_type],
            status=Run.Status.PENDING,
        )
        job = Job.objects.create(
            kind=Job.Kind.TRAINING,
            contract=contract,
            model_type=model_type,
            queue=spec.name,
            gpus=(getattr(config, "num_gpus", None) or 1) if spec.gpu else 0,
            priority=priority,
            owner=user,
            project=project,
            run=run,
            retry_of=retry_of,
            resumes=resumes,
            description=description,
            requires_gpu=requires_gpu,
            framework_override=framework_override,
            data_path=data_path,
            dataset=data.dataset,
            hyperparameters=dict(hyperparameters or {}),
            model_public_id=new_model_id(),
            estimated_seconds=estimate,
            timeout_seconds=seconds,
        )
        submission_keep(job=job, idempotency=idempotency)
        queue.wake_on_commit(job.queue)
    return job


def inference_submit(
    *,
    user: User,
    model_id: str,
    input_data: Any,
    parameters: Mapping[str, Any] | None = None,
    priority: int = 0,
    timeout: float | None = None,
    contract: str = "job_queue",
    retry_of: Job | None = None,
    idempotency: Idempotency | None = None,
) -> Job:
    """Check an inference's order, write its job, and wake a warm worker. `timeout` is in seconds.

    With `idempotency`, an order that was taken before makes no second job: the first one is returned.

    Raises:
        Conflict: the idempotency key has come with another order.
        NotFound: no such model, or not the caller's to see.
        InvalidSpec: input data, parameters, priority or timeout.
        Forbidden: the priority.
        TooManyPending: the user's limit is reached.
    """
    if earlier := job_submitted(idempotency):
        return earlier
    model = model_get(user=user, model_id=model_id)
    _check_parameters(parameters or {})
    _check_storable("input_data", input_data)
    check_priority(user, priority)
    seconds = _timeout(timeout, bound=settings.JOBS["inference_timeout"])
    given = inference_input(user=user, input_data=input_data, task=model.task)
    estimate = estimated_seconds(kind=Job.Kind.INFERENCE, model_type=model.model_type)

    def checked_again() -> None:
        model_get(user=user, model_id=model_id)
        inference_input(user=user, input_data=input_data, task=model.task)

    with _refused_if_gone(checked_again), transaction.atomic():
        if earlier := _taken_meanwhile(user, idempotency):
            return earlier
        check_room_for_one(user)
        job = Job.objects.create(
            kind=Job.Kind.INFERENCE,
            contract=contract,
            model_type=model.model_type,
            queue=inference_queue(model.framework).name,
            priority=priority,
            owner=user,
            model=model,
            retry_of=retry_of,
            dataset=given.dataset,
            input_data=input_data,
            parameters=dict(parameters or {}),
            estimated_seconds=estimate,
            timeout_seconds=seconds,
        )
        submission_keep(job=job, idempotency=idempotency)
        queue.wake_on_commit(job.queue)
    return job


def _taken_meanwhile(user: User, idempotency: Idempotency | None) -> Job | None:
    """The job of the same order that came a moment earlier, perhaps on another connection."""
    if idempotency is None:
        return None
    hold_submissions(user)
    return job_submitted(idempotency)


@contextmanager
def _refused_if_gone(check: Callable[[], object]) -> Iterator[None]:
    """Let `check` say in its words what the database says in its own: what the order names was deleted meanwhile."""
    try:
        yield
    except IntegrityError:
        check()
        raise


def available_model_types() -> list[str]:
    """The model types that can be trained here, in the routing table's order."""
    return [name for name in ROUTES if name in registry.TRAINERS]


def _route(model_type: str, *, requires_gpu: bool, framework_override: str) -> QueueSpec:
    try:
        info = registry.get(model_type)
    except registry.UnknownTrainer as error:
        available = ", ".join(available_model_types())
        if model_type in ROUTES:
            sentence = f"model_type '{model_type}' cannot be trained on this platform yet; available: {available}"
        else:
            sentence = f"{error.message} Available: {available}"
        raise InvalidSpec(errors={"model_type": [sentence]}) from error
    try:
        if model_type not in ROUTES and model_type in registry.TRAINERS:
            # A trainer outside the document's table (the benchmark's no-op) runs on its own framework's queue.
            model_type = next(name for name, row in ROUTES.items() if row.cpu.framework == info.framework)
        return route(model_type, requires_gpu=requires_gpu, framework_override=framework_override)
    except RoutingError as error:
        raise InvalidSpec(errors={"framework_override": [str(error)]}) from error


def _check_hyperparameters(model_type: str, hyperparameters: Mapping[str, Any]) -> BaseModel:
    try:
        config = registry.check_config(model_type, hyperparameters)
    except ConfigProblem as problem:
        raise InvalidSpec(errors=_prefixed("hyperparameters", problem.details)) from problem
    for name, value in hyperparameters.items():
        _check_storable(f"hyperparameters.{name}", value)
    return config


def _timeout(given: float | None, *, bound: float) -> float | None:
    """The seconds that a job may run: what is given, else the operator's `bound`, which is also the most; 0: none."""
    if given is None:
        return bound or None
    most = bound or MAX_TIMEOUT
    if not MIN_TIMEOUT <= given <= most:  # NaN is in no range
        raise InvalidSpec(
            errors={"timeout": [f"timeout must be from {MIN_TIMEOUT:g} to {most:g} seconds; it is {given:g}"]}
        )
    return float(given)


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    try:
        check(InferenceParameters, parameters, noun="inference parameter")
    except ConfigProblem as problem:
        raise InvalidSpec(errors=_prefixed("parameters", problem.details)) from problem


def _check_storable(field: str, value: Any) -> None:
    if problem := text.json_problem(value):
        raise InvalidSpec(errors={field: [f"{field} {problem}"]})


def _prefixed(prefix: str, errors: FieldErrors) -> dict[str, list[str]]:
    return {f"{prefix}.{field}": list(sentences) for field, sentences in errors.items()}
