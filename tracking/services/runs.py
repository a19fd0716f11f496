"""Writes of runs. A change of a run's state is an event of its stream."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Case, F, Value, When
from django.utils import timezone

from automl_site.errors import InvalidSpec
from tracking import stream, text
from tracking.models import Project, Run

FINAL_STATUSES = (Run.Status.COMPLETED, Run.Status.FAILED, Run.Status.CANCELLED)
MAX_REASON = 500


def run_create(
    *,
    project: Project,
    name: str,
    config: Mapping[str, Any],
    tags: Sequence[str],
    status: str = Run.Status.RUNNING,
) -> Run:
    """A new run in `project`.

    Raises:
        InvalidSpec: name, status, or a config or tags that JSON cannot hold; `errors` names the field.
    """
    run = Run(project=project, name=name.strip(), config=dict(config), tags=list(tags), status=status)
    if run.status in FINAL_STATUSES:
        run.ended_at = run.started_at
    errors = {
        field: [f"It {problem}."]
        for field in ("name", "config", "tags")
        if (problem := text.json_problem(getattr(run, field)))
    }
    try:
        run.clean_fields(exclude=["project", *errors])
    except ValidationError as error:
        errors |= error.message_dict
    if errors:
        raise InvalidSpec(errors=errors)
    run.save(force_insert=True)
    return run


@transaction.atomic
def run_status_set(*, run_id: int, status: str, reason: str = "") -> bool:
    """Change the run's status, with an event in its stream. False when it has that status already, or is gone.

    Ending sets `ended_at`; going on again clears it. Leaving `pending` for the first time sets `started_at`.

    Raises:
        InvalidSpec: no such status.
    """
    if status not in Run.Status.values:
        raise InvalidSpec(errors={"status": [f"'{status}' is not one of {', '.join(Run.Status.values)}."]})
    now = timezone.now()
    ended_at = now if status in FINAL_STATUSES else None
    reason = text.clean(reason, limit=MAX_REASON)
    # seq 0: nothing has happened in this run yet, so that a later attempt does not move its start.
    first_start = When(status=Run.Status.PENDING, seq=0, then=Value(now))
    changed = (
        Run.objects.filter(pk=run_id)
        .exclude(status=status)
        .update(
            status=status,
            status_reason=reason,
            ended_at=ended_at,
            started_at=Case(first_start, default=F("started_at")) if ended_at is None else F("started_at"),
            updated_at=now,
        )
    )
    if not changed:
        return False
    changes = {
        "run_id": run_id,
        "status": status,
        "status_reason": reason,
        "ended_at": stream.timestamp(ended_at) if ended_at else None,
    }
    stream.append(run_id=run_id, changes=changes)
    return True
