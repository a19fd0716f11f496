"""The first page, and the search box."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from datasets_app.models import Dataset
from jobs.models import TrainedModel
from jobs.selectors.jobs import job_list, status_counts
from jobs.selectors.models import model_list
from jobs.selectors.queues import queue_states
from jobs.selectors.scheduling import live_workers
from jobs.views.jobs import with_waiting

RECENT = 8
FOUND = 20


@login_required
@require_GET
def dashboard(request: HttpRequest) -> HttpResponse:
    workers = live_workers()
    counts = status_counts(request.user)
    return render(
        request,
        "jobs/dashboard.html",
        {
            "counts": counts,
            "job_total": sum(counts.values()),
            "model_total": TrainedModel.objects.visible_to(request.user).live().count(),
            "dataset_total": Dataset.objects.visible_to(request.user).live().count(),
            "jobs": with_waiting(list(job_list(user=request.user)[:RECENT]), workers),
            "models": model_list(user=request.user)[:RECENT],
            "queues": queue_states(workers),
            "workers": workers,
        },
    )


@login_required
@require_GET
def search(request: HttpRequest) -> HttpResponse:
    query = request.GET.get("q", "").replace("\x00", "").strip()[:200]
    found = {"jobs": [], "models": [], "datasets": []} if not query else _find(request, query)
    return render(request, "jobs/search.html", {"search_query": query, **found})


def _find(request: HttpRequest, query: str) -> dict[str, list]:
    datasets = Dataset.objects.visible_to(request.user).live()
    return {
        "jobs": with_waiting(list(job_list(user=request.user, query=query)[:FOUND]), live_workers()),
        "models": list(model_list(user=request.user, query=query)[:FOUND]),
        "datasets": list(
            (datasets.filter(filename__icontains=query) | datasets.filter(public_id__iexact=query))[:FOUND]
        ),
    }
