"""The models' list, a model's page, and trying a model."""

import json
from contextlib import suppress
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from automl_site.errors import DomainError, InvalidSpec, NotCancellable, NotFound
from jobs import snippets
from jobs.models import Job, TrainedModel
from jobs.selectors import reports
from jobs.selectors.jobs import job_list
from jobs.selectors.models import model_get, model_list
from jobs.services.control import job_cancel, model_restore, model_trash
from jobs.services.submission import inference_submit
from jobs.try_forms import TaskForm, example_order, try_form

PAGE = 50
# A try is asked for again after so long, in ms, while it is as old as so many seconds.
POLLS = ((2.0, 150), (15.0, 400))
SLOWEST_POLL = 1000
HELD_OUT = {
    "image_classification": "images",
    "text_classification": "texts",
    "language_modelling": "text",
    "masked_language_modelling": "text",
}


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
    return _model_page(request, shown, try_form(shown))


def _model_page(request: HttpRequest, shown: TrainedModel, form: TaskForm, status: int = 200) -> HttpResponse:
    matrix = reports.confusion_matrix(shown.report)
    scores, classes = reports.class_scores(shown.report, request.GET.get("sort", ""))
    example = example_order(shown)
    base = request.build_absolute_uri("/")
    context = {
        "model": shown,
        "held_out": HELD_OUT.get(shown.task, "rows"),
        "form": form,
        "columns": shown.schema.get("columns", []),
        "matrix": matrix,
        "confusions": reports.confusions(matrix) if matrix and matrix.is_dense else [],
        "scores": scores,
        "classes": classes,
        "samples": reports.samples(shown.report),
        "has_curves": reports.has_curves(shown),
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
    """Submit what was filled in as an inference job; its result is shown once there."""
    shown = model_get(user=request.user, model_id=model_id)
    form = try_form(shown, request)
    try:
        input_data, parameters = form.order()
        job = inference_submit(
            user=request.user,
            model_id=shown.public_id,
            input_data=input_data,
            parameters=parameters,
            contract="page",
        )
    except DomainError as error:
        sentence = error.first_sentence() if isinstance(error, InvalidSpec) else error.message
        if request.htmx:
            return _try_answer(request, shown, None, problem=sentence, status=422)
        messages.error(request, sentence)
        return _model_page(request, shown, form, status=422)
    if request.htmx:
        return _try_answer(request, shown, job)
    return redirect("job", job_id=job.pk)


@login_required
@require_GET
def try_result(request: HttpRequest, model_id: str, job_id: UUID) -> HttpResponse:
    """The state of a try: polled by the model's page until the job has ended."""
    job = _try_job(request, model_id, job_id)
    return _try_answer(request, job.model, job)


@login_required
@require_POST
def try_cancel(request: HttpRequest, model_id: str, job_id: UUID) -> HttpResponse:
    """Stop a try, and show what became of it."""
    job = _try_job(request, model_id, job_id)
    with suppress(NotCancellable):  # it has just ended
        job_cancel(user=request.user, job=job)
    return _try_answer(request, job.model, _try_job(request, model_id, job_id))


def _try_job(request: HttpRequest, model_id: str, job_id: UUID) -> Job:
    """Without its input, which may be an image, and is asked for many times. Raises NotFound."""
    tries = job_list(user=request.user, kind=Job.Kind.INFERENCE).filter(pk=job_id, model__public_id=model_id)
    job = tries.first()
    if job is None:
        raise NotFound("Job not found")
    return job


def _try_answer(
    request: HttpRequest, shown: TrainedModel, job: Job | None, *, problem: str = "", status: int = 200
) -> HttpResponse:
    age = (timezone.now() - job.created_at).total_seconds() if job else 0.0
    context = {
        "model": shown,
        "job": job,
        "problem": problem,
        "delay": next((delay for limit, delay in POLLS if age < limit), SLOWEST_POLL),
    }
    name = "models/_generation.html" if shown.task == "language_modelling" else "models/_try_result.html"
    return render(request, name, context, status=status)


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
