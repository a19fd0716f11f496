"""One act on several jobs, each by the service that does it to one: what holds for one holds for all."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from automl_site.errors import DomainError, InvalidSpec, RateLimited
from jobs.models import Job
from jobs.selectors.jobs import BULKY_OF_OTHERS
from jobs.services.control import job_cancel, job_run_again
from tracking.models import User

MAX_JOBS = 500


@dataclass
class Outcome:
    """`done`: how many jobs it was done to. `refused`: why it was not to others, and to how many."""

    done: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def jobs_cancel(*, user: User, job_ids: Sequence[UUID]) -> Outcome:
    """Cancel jobs; one that has ended meanwhile is refused. Raises InvalidSpec for more than MAX_JOBS."""
    return _each(user, job_ids, lambda job: job_cancel(user=user, job=job))


def jobs_run_again(*, user: User, job_ids: Sequence[UUID]) -> Outcome:
    """Submit the same orders anew, the oldest first. Raises InvalidSpec for more than MAX_JOBS."""
    return _each(user, job_ids, lambda job: job_run_again(user=user, job=job))


def _each(user: User, job_ids: Sequence[UUID], act: Callable[[Job], Any]) -> Outcome:
    if len(job_ids) > MAX_JOBS:
        raise InvalidSpec(errors={"job": [f"{len(job_ids):,} jobs are chosen; {MAX_JOBS} can be at once"]})
    jobs = list(
        Job.objects.visible_to(user)
        .filter(pk__in=job_ids)
        .select_related("model", "project")
        .defer(*(name for name in BULKY_OF_OTHERS if name.startswith("model__")))
        .order_by("created_at", "pk")
    )
    outcome = Outcome()
    if missing := len(set(job_ids)) - len(jobs):
        outcome.refused["It is not there any more."] += missing
    for number, job in enumerate(jobs):
        try:
            act(job)
            outcome.done += 1
        except RateLimited as error:  # the rest would be told the same
            outcome.refused[error.message] += len(jobs) - number
            break
        except DomainError as error:
            outcome.refused[error.first_sentence() if isinstance(error, InvalidSpec) else error.message] += 1
    return outcome
