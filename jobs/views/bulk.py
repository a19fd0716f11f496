"""Cancelling several jobs, or running them again: first the question that says what will happen, then the act."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST
from django_htmx.http import HttpResponseClientRedirect

from automl_site.errors import InvalidSpec
from jobs.models import Job, JobStatus
from jobs.selectors.jobs import job_list, parse_job_id
from jobs.services.bulk import MAX_JOBS, Outcome, jobs_cancel, jobs_run_again
from jobs.views.jobs import list_filters
from tracking.models import User

MAX_ADDRESS = 2000


@dataclass(frozen=True)
class Act:
    """`done` is said of the jobs that it was done to."""

    run: Callable[..., Outcome]
    confirm: str
    done: str


ACTS = {
    "cancel": Act(jobs_cancel, "Cancel", "cancelled; their processes end within a few seconds"),
    "again": Act(jobs_run_again, "Run again", "submitted again, as new jobs"),
}


@login_required
@require_POST
def bulk(request: HttpRequest) -> HttpResponse:
    """`action` on the chosen jobs (`job`, several): asks what is to happen, and with `confirmed` does it.

    With `every`, the jobs are those of the list whose query is `next`, the newest MAX_JOBS of them; what is confirmed
    is what was asked.
    """
    action = request.POST.get("action", "")
    every = request.POST.get("every") == "1"
    ids = _listed(request, action) if every else _chosen(request)
    if action not in ACTS or not ids:
        messages.warning(request, "Choose jobs first: tick the box at the left of each.")
        return _back(request)
    if len(ids) > MAX_JOBS:
        messages.warning(request, f"More than {MAX_JOBS} jobs are chosen; choose fewer.")
        return _back(request)
    if request.POST.get("confirmed") == "1":
        _act(request, ACTS[action], ids)
        return _back(request)
    consequences = _consequences(request.user, action, ids)
    context = {
        "action": action,
        "act": ACTS[action],
        "ids": ids,
        "next": _query(request),
        "most": MAX_JOBS if every and len(ids) == MAX_JOBS else None,
        **consequences,
    }
    return render(request, "jobs/_bulk_question.html" if request.htmx else "jobs/bulk_question.html", context)


def _chosen(request: HttpRequest) -> list[UUID]:
    found = [parse_job_id(text[:60]) for text in request.POST.getlist("job")[: MAX_JOBS + 1]]
    return list(dict.fromkeys(pk for pk in found if pk))


def _listed(request: HttpRequest, action: str) -> list[UUID]:
    jobs = job_list(user=request.user, **list_filters(QueryDict(_query(request))))
    if action == "cancel":
        jobs = jobs.live()  # what has ended would only take the others' places
    return list(jobs.values_list("pk", flat=True)[:MAX_JOBS])


def _act(request: HttpRequest, act: Act, ids: Sequence[UUID]) -> None:
    try:
        outcome = act.run(user=request.user, job_ids=ids)
    except InvalidSpec as error:
        messages.error(request, f"{error.first_sentence()}.")
        return
    if outcome.done:
        messages.success(request, f"{_jobs(outcome.done)} {_are(outcome.done)} {act.done}.")
    for sentence, count in outcome.refused.items():
        messages.warning(request, f"{_jobs(count)} {_left(count)}: {sentence}")


def _consequences(user: User, action: str, ids: Sequence[UUID]) -> dict[str, Any]:
    """{"affected", "sentences"}: to how many jobs it will be done, and what will happen, by what they are now."""
    statuses = Counter(Job.objects.visible_to(user).filter(pk__in=ids).values_list("status", flat=True))
    total = sum(statuses.values())
    running, pending = statuses[JobStatus.RUNNING], statuses[JobStatus.PENDING]
    sentences = []
    if action == "again":
        sentences.append(f"{_jobs(total)} will be submitted anew with the same order; the old ones stay.")
        if live := running + pending:
            sentences.append(
                f"{_jobs(live)} of them {_are(live)} not over yet, and {'goes' if live == 1 else 'go'} on."
            )
        return {"affected": total, "sentences": sentences}
    if running:
        sentences.append(f"{_jobs(running)} {_are(running)} running: stopped within seconds, no model is kept.")
    if pending:
        sentences.append(f"{_jobs(pending)} {_are(pending)} waiting: never started.")
    if ended := total - running - pending:
        sentences.append(f"{_jobs(ended)} {'has' if ended == 1 else 'have'} ended already, and {_left(ended)}.")
    return {"affected": running + pending, "sentences": sentences}


def _jobs(count: int) -> str:
    return f"{count:,} job{'' if count == 1 else 's'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _left(count: int) -> str:
    return "is left as it is" if count == 1 else "are left as they are"


def _back(request: HttpRequest) -> HttpResponse:
    """To the list as it was, whose query came with the form."""
    query = _query(request)
    address = f"{reverse('jobs')}{'?' if query else ''}{query}"
    return HttpResponseClientRedirect(address) if request.htmx else redirect(address)


def _query(request: HttpRequest) -> str:
    """The query of the list's address, which came with the form."""
    given = request.POST.get("next", "")[:MAX_ADDRESS].encode("ascii", errors="ignore").decode()
    return urlsplit(f"?{given}").query
