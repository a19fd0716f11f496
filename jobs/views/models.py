"""The models' list, a model's page, and trying a model."""

import json
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from automl_site.errors import DomainError, InvalidSpec, NotFound
from jobs import snippets
from jobs.forms import TryForm
from jobs.models import TrainedModel
from jobs.selectors.jobs import job_get
from jobs.selectors.models import model_get, model_list
from jobs.services.control import model_restore, model_trash
from jobs.services.submission import inference_submit

PAGE = 50
# A form of more fields than this is no help; such a model is tried by pasting rows.
TRY_FIELDS = 60


@login_required
@require_GET
def models(request: HttpRequest) -> HttpResponse:
    query = request.GET.get("q", "").replace("\x00", "").strip()[:200]
    model_type = request.GET.get("model_type", "").replace("\x00", "")[:100]
    trashed = request.GET.get("trash") == "1"
    found = model_list(user=request.user, query=query, model_type=model_type, trashed=trashed)
    types = TrainedModel.objects.visible_to(request.user).order_by("model_type").values_list("model_type", flat=True)
    context = {
        "page_obj": Paginator(found, PAGE).get_page(request.GET.get("page")),
        "q": query,
        "model_type": model_type,
        "model_types": list(types.distinct()),
        "trashed": trashed,
    }
    return render(request, "models/model_list.html", context)


@login_required
@require_GET
def model(request: HttpRequest, model_id: str) -> HttpResponse:
    shown = model_get(user=request.user, model_id=model_id)
    return _model_page(request, shown, TryForm(_columns(shown)))


def _columns(model: TrainedModel) -> list[dict[str, Any]]:
    columns: list[dict[str, Any]] = model.schema.get("columns", [])
    return columns if len(columns) <= TRY_FIELDS else []


def _model_page(request: HttpRequest, shown: TrainedModel, form: TryForm, status: int = 200) -> HttpResponse:
    columns = shown.schema.get("columns", [])
    example = {column["name"]: (column.get("examples") or [None])[0] for column in columns}
    base = request.build_absolute_uri("/")
    context = {
        "model": shown,
        "form": form,
        "rows": request.POST.get("rows", ""),
        "columns": columns,
        "importances": [
            {"label": row["name"], "value": row["importance"]} for row in shown.report.get("feature_importances", [])
        ][:30],
        "may_change": TrainedModel.objects.changeable_by(request.user).filter(pk=shown.pk).exists(),
        "curl": snippets.prediction_as_curl(shown, example, base),
        "python": snippets.prediction_as_python(shown, example, base),
    }
    return render(request, "models/model_detail.html", context, status=status)


@login_required
@require_POST
def try_model(request: HttpRequest, model_id: str) -> HttpResponse:
    """Submit what was typed (a row's fields, or pasted rows) as an inference job; its result is shown once there."""
    shown = model_get(user=request.user, model_id=model_id)
    form = TryForm(_columns(shown), request.POST)
    try:
        job = inference_submit(
            user=request.user,
            model_id=shown.public_id,
            input_data=_typed(request, form),
            parameters={"probability": True} if shown.task == "classification" else {},
            contract="page",
        )
    except DomainError as error:
        sentence = error.first_sentence() if isinstance(error, InvalidSpec) else error.message
        if request.htmx:
            return render(request, "models/_try_result.html", {"problem": sentence}, status=422)
        messages.error(request, sentence)
        return _model_page(request, shown, form, status=422)
    if request.htmx:
        return render(request, "models/_try_result.html", {"job": job, "model": shown})
    return redirect("job", job_id=job.pk)


def _typed(request: HttpRequest, form: TryForm) -> Any:
    """What was pasted, else the row of the fields. Raises InvalidSpec."""
    pasted = request.POST.get("rows", "").strip()
    if pasted:
        return pasted
    if not form.fields:
        raise InvalidSpec("Paste at least one row.")
    if not form.is_valid():
        raise InvalidSpec(errors={form[name].label: list(errors) for name, errors in form.errors.items()})
    return [form.row()]


@login_required
@require_GET
def try_result(request: HttpRequest, model_id: str, job_id: UUID) -> HttpResponse:
    """The state of a try: polled by the model's page until the job has ended."""
    job = job_get(user=request.user, job_id=str(job_id))
    if job.model is None or job.model.public_id != model_id:
        raise NotFound("Job not found")
    return render(request, "models/_try_result.html", {"job": job, "model": job.model})


@login_required
@require_POST
def trash(request: HttpRequest, model_id: str) -> HttpResponse:
    shown = model_get(user=request.user, model_id=model_id)
    try:
        model_trash(user=request.user, model=shown)
    except DomainError as error:
        messages.error(request, error.message)
        return redirect("model", model_id=shown.public_id)
    messages.success(request, f"{shown.name} is in the trash; it can be restored there.")
    return redirect("models")


@login_required
@require_POST
def restore(request: HttpRequest, model_id: str) -> HttpResponse:
    shown = TrainedModel.objects.visible_to(request.user).filter(public_id=model_id).first()
    if shown is None:
        raise NotFound(f"Model '{model_id[:100]}' not found")
    try:
        model_restore(user=request.user, model=shown)
    except DomainError as error:
        messages.error(request, error.message)
        return redirect("models")
    return redirect("model", model_id=shown.public_id)


@login_required
@require_GET
def manifest(request: HttpRequest, model_id: str) -> HttpResponse:
    """What is known of the model, as JSON to keep."""
    shown = model_get(user=request.user, model_id=model_id)
    known = {
        "model_id": shown.public_id,
        "name": shown.name,
        "model_type": shown.model_type,
        "framework": shown.framework,
        "framework_version": shown.framework_version,
        "task": shown.task,
        "metrics": shown.metrics,
        "report": shown.report,
        "schema": shown.schema,
    }
    answer = HttpResponse(json.dumps(known, indent=2), content_type="application/json")
    answer["Content-Disposition"] = f'attachment; filename="{shown.public_id}.json"'
    return answer
