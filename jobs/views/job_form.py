"""The form to submit a training, and what changes in it while it is filled in."""

import math
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from automl_site.errors import DomainError, InvalidSpec, NotFound
from datasets_app.models import Dataset
from datasets_app.selectors import shared_entries
from jobs import snippets
from jobs.models import Job, Worker
from jobs.routing import QueueSpec, RoutingError, route
from jobs.selectors.board import pending_count, start_command
from jobs.selectors.jobs import job_get
from jobs.selectors.scheduling import live_workers
from jobs.services.submission import available_model_types, training_submit
from jobs.training_forms import (
    OTHER,
    HyperparameterForm,
    TrainingForm,
    data_kind,
    default_model_type,
    initial_hyperparameters,
    initial_order,
)

RECENT_DATASETS = 50
HYPERPARAMETER = "hp-"


@dataclass(frozen=True)
class Destination:
    """Where a training with these answers would go: the queue and who serves it, or why there is no such queue."""

    spec: QueueSpec | None = None
    problem: str = ""
    workers: tuple[Worker, ...] = ()
    waiting: int = 0

    @property
    def idle(self) -> int:
        return sum(worker.state == Worker.State.IDLE for worker in self.workers)

    @property
    def command(self) -> str:
        """Starts a worker for the queue."""
        return start_command(self.spec) if self.spec else ""


@login_required
@require_http_methods(["GET", "POST"])
def new_job(request: HttpRequest) -> HttpResponse:
    """The form to submit a training; `?dataset=`, `?model_type=` or `?from=<job>` fill it."""
    origin = _origin(request)
    if request.method == "POST":
        return _submit(request, origin)
    given: dict[str, Any] = {"data_path": request.GET.get("dataset", "")}
    hyperparameters: dict[str, Any] = {}
    if origin:
        given = initial_order(origin, request.user)
        hyperparameters = initial_hyperparameters(origin)
    elif asked := request.GET.get("model_type", "")[:100]:
        known = asked in (*available_model_types(), OTHER)
        given |= {"model_type": asked if known else OTHER, "architecture": "" if known else asked}
    given.setdefault("model_type", default_model_type())
    columns = _columns(request, given["data_path"])
    config = HyperparameterForm(_model_type(given), initial=hyperparameters, columns=columns)
    return _page(request, TrainingForm(initial=given, user=request.user), config, given, origin)


def _origin(request: HttpRequest) -> Job | None:
    """The training that this one is to repeat with changes. Raises NotFound."""
    named = request.POST.get("from") or request.GET.get("from")
    origin = job_get(user=request.user, job_id=named) if named else None
    if origin and origin.kind != Job.Kind.TRAINING:
        raise NotFound("Job not found")
    return origin


def _submit(request: HttpRequest, origin: Job | None) -> HttpResponse:
    form = TrainingForm(request.POST, user=request.user)
    columns = _columns(request, request.POST.get("data_path", ""))
    config = HyperparameterForm(_model_type(request.POST), request.POST, columns=columns)
    if form.is_valid() & config.is_valid():  # both, so that all that is wrong is said at once
        try:
            job = training_submit(
                user=request.user,
                **form.order(),
                hyperparameters=config.values(),
                contract="page",
                retry_of=origin,
            )
            if origin:
                messages.success(request, "Submitted as a new job; the first one stays as it is.")
            return redirect("job", job_id=job.pk)
        except InvalidSpec as error:
            form.add_spec_errors(error.errors)
            config.add_spec_errors(error.errors)
            if not error.errors:
                form.add_error(None, error.message)
        except DomainError as error:
            form.add_error(None, error.message)
    return _page(request, form, config, request.POST, origin, status=422)


def _page(
    request: HttpRequest,
    form: TrainingForm,
    config: HyperparameterForm,
    given: dict[str, Any] | QueryDict,
    origin: Job | None,
    status: int = 200,
) -> HttpResponse:
    # What was found in each column can be megabytes; the form lists names.
    datasets = Dataset.objects.visible_to(request.user).live().defer("columns", "schema", "analysis")[:RECENT_DATASETS]
    hyperparameters = {config.add_prefix(name): value for name, value in config.initial.items()}
    context = {
        "form": form,
        "config": config,
        "kind": data_kind(config.config),
        "destination": _destination(given),
        "datasets": datasets,
        "folders": shared_entries(),
        "origin": origin,
        **_commands(request, config, given if config.is_bound else {**given, **hyperparameters}),
    }
    return render(request, "jobs/job_new.html", context, status=status)


@login_required
@require_GET
def config_fields(request: HttpRequest) -> HttpResponse:
    """What another model type, data set or queue changes in the form, keeping what was typed under the same names."""
    typed = {
        name.removeprefix(HYPERPARAMETER): text for name, text in request.GET.items() if name.startswith(HYPERPARAMETER)
    }
    columns = _columns(request, request.GET.get("data_path", ""))
    config = HyperparameterForm(_model_type(request.GET), initial=typed, columns=columns)
    context = {
        "config": config,
        "kind": data_kind(config.config),
        "destination": _destination(request.GET),
        "fragment": True,
    }
    return render(request, "jobs/_config_fields.html", context)


@login_required
@require_GET
def commands(request: HttpRequest) -> HttpResponse:
    """The form as it is filled in, as commands to copy."""
    config = HyperparameterForm(_model_type(request.GET))
    return render(request, "jobs/_order_code.html", _commands(request, config, request.GET))


def _commands(request: HttpRequest, config: HyperparameterForm, given: dict[str, Any] | QueryDict) -> dict[str, str]:
    texts = {
        name.removeprefix(HYPERPARAMETER): str(text)
        for name, text in given.items()
        if name.startswith(HYPERPARAMETER) and text
    }
    order = {
        "model_type": _model_type(given),
        "data_path": str(given.get("data_path") or ""),
        "hyperparameters": config.as_typed(texts),
        "description": str(given.get("description") or ""),
        "requires_gpu": bool(given.get("requires_gpu")),
        "framework_override": str(given.get("framework_override") or ""),
        "project_id": _number(given.get("project")),
        "priority": _number(given.get("priority")),
        "timeout": _number(given.get("timeout")),
    }
    base = request.build_absolute_uri("/")
    return {"curl": snippets.training_as_curl(order, base), "python": snippets.training_as_python(order, base)}


def _number(text: Any) -> int | float | str:
    """What a field of a number holds: the number, or what was typed instead of one."""
    try:
        value = float(text or 0)
    except (TypeError, ValueError):
        return str(text)
    if not math.isfinite(value):
        return str(text)
    return int(value) if value.is_integer() else value


def _model_type(given: dict[str, Any] | QueryDict) -> str:
    """The model type that the answers name: the typed one, a known one, else the first of the list."""
    chosen = str(given.get("model_type") or "")
    if chosen not in (*available_model_types(), OTHER):
        chosen = default_model_type()
    return str(given.get("architecture") or "").strip()[:100] if chosen == OTHER else chosen


def _destination(given: dict[str, Any] | QueryDict) -> Destination:
    try:
        spec = route(
            _model_type(given),
            requires_gpu=bool(given.get("requires_gpu")),
            framework_override=str(given.get("framework_override") or "")[:100],
        )
    except RoutingError as error:
        return Destination(problem=str(error))
    workers = tuple(worker for worker in live_workers() if spec.name in worker.queues)
    return Destination(spec, workers=workers, waiting=pending_count(spec.name))


def _columns(request: HttpRequest, data_path: str) -> list[str]:
    """The columns of the data set with that id; none for other paths, whose files are not opened here."""
    found = Dataset.objects.visible_to(request.user).live().filter(public_id=data_path.replace("\x00", "").strip()[:20])
    return found.values_list("columns", flat=True).first() or []
