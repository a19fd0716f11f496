"""Writes of runs. A change of a run is an event of its stream."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Case, F, Value, When
from django.utils import timezone

from automl_site.errors import InvalidSpec, NotFound
from tracking import holds, stream, text
from tracking.models import Project, Run, User
from tracking.selectors.runs import run_to_change
from tracking.services.environments import environment_set

FINAL_STATUSES = (Run.Status.COMPLETED, Run.Status.FAILED, Run.Status.CANCELLED)
MAX_REASON = 500
MAX_NOTES = 100_000  # characters
MAX_TAGS = 100
MAX_TAG = 100  # characters
MAX_CONFIG = 1024**2  # bytes as JSON
# What a user may change; the rest of the row is the platform's.
EDITABLE = ("name", "config", "tags", "notes", "started_at", "ended_at", "status", "status_reason", "archived")
_NOT_IN_EVENTS = ("config", "notes")  # long; who follows the stream reads the run anew


@transaction.atomic
def run_create(
    *,
    project: Project,
    name: str,
    config: Mapping[str, Any],
    tags: Sequence[str],
    status: str = Run.Status.RUNNING,
    notes: str = "",
    started_at: datetime | None = None,
    environment: Mapping[str, Any] | None = None,
    git: Mapping[str, Any] | None = None,
) -> Run:
    """A new run in `project`. `environment`, `git`: see `environment_set`.

    Raises:
        InvalidSpec: name, status, or a config, tags or notes that cannot be kept; `errors` names the field.
    """
    started_at = started_at or timezone.now()
    run = Run(
        project=project,
        name=name.strip(),
        config=dict(config),
        tags=unique_tags(tags),
        status=status,
        notes=notes,
        started_at=started_at,
    )
    if run.status in FINAL_STATUSES:
        run.ended_at = started_at
    _refuse_unkeepable(run, ("name", "config", "tags", "notes", "status"))
    run.save(force_insert=True)
    environment_set(run_id=run.pk, environment=environment, git=git)
    return run


@transaction.atomic
def run_update(*, user: User, run_id: int, changes: Mapping[str, Any]) -> Run:
    """Set what is given of EDITABLE, with one event in the run's stream; `environment` and `git` are kept beside it.

    A status that ends the run sets `ended_at`, if `changes` does not; one that does not clears it. `ended_at: None` is
    the same as leaving it out.

    Raises:
        NotFound, Forbidden: `user` may not see or not change the run.
        Conflict: the status of a run whose job is alive is the job's to change.
        InvalidSpec: a value that cannot be kept; `errors` names the field.
    """
    run = run_to_change(user=user, run_id=run_id)
    status, ended_at = changes.get("status"), changes.get("ended_at")
    event: dict[str, Any] = {}
    if status is not None and status != run.status:
        if status == Run.Status.PENDING:
            raise InvalidSpec(errors={"status": [f"A run that is {run.status} cannot become pending again."]})
        holds.refuse_if_held(run_ids=[run.pk])
        event |= _write_status(run.pk, status, reason=changes.get("status_reason") or "")
        run.refresh_from_db()
        changes = {field: value for field, value in changes.items() if field != "status_reason"}
    elif status is not None and run.silent_at is not None:
        # Somebody says that it has failed, as silence did: from now on a heartbeat does not bring it back.
        Run.objects.filter(pk=run.pk).update(silent_at=None)
    for field in ("config", "tags", "notes", "started_at", "status_reason"):
        if changes.get(field) is not None:
            setattr(run, field, unique_tags(changes[field]) if field == "tags" else changes[field])
    if changes.get("name") is not None:
        run.name = changes["name"].strip()
    if "archived" in changes and changes["archived"] != (run.archived_at is not None):
        run.archived_at = timezone.now() if changes["archived"] else None
    if ended_at is not None and run.status in FINAL_STATUSES:
        run.ended_at = ended_at
    elif ended_at is not None and status is None:
        raise InvalidSpec(errors={"ended_at": [f"A run that is {run.status} has not ended; set its status too."]})
    fields = [field for field in EDITABLE if field != "status" and changes.get(field) is not None]
    _refuse_unkeepable(run, fields)
    event |= _write_fields(run, fields)
    if event:
        stream.append(run_id=run.pk, changes={"run_id": run.pk, **event})
    environment_set(run_id=run.pk, environment=changes.get("environment"), git=changes.get("git"))
    return run


def _write_fields(run: Run, fields: Sequence[str]) -> dict[str, Any]:
    """Write the fields of `run`, but not its status; what the stream is to tell, nothing if nothing was written."""
    if not fields:
        return {}
    run.updated_at = timezone.now()
    columns = ["archived_at" if field == "archived" else field for field in fields]
    values = {column: getattr(run, column) for column in columns}
    if not Run.objects.live().filter(pk=run.pk).update(**values, updated_at=run.updated_at):
        raise NotFound()
    told = {field: values[field] for field in values if field not in _NOT_IN_EVENTS}
    event = {name: stream.timestamp(value) if isinstance(value, datetime) else value for name, value in told.items()}
    return {"changed": list(fields), **event}


def unique_tags(tags: Sequence[str]) -> list[str]:
    """The tags without the space around them, each once, in their order.

    Raises:
        InvalidSpec: too many, or one that is blank, too long or no text.
    """
    if not all(isinstance(tag, str) and 0 < len(tag.strip()) <= MAX_TAG for tag in tags):
        raise InvalidSpec(errors={"tags": [f"A tag is a text of 1 to {MAX_TAG} characters."]})
    found = list(dict.fromkeys(tag.strip() for tag in tags))
    if len(found) > MAX_TAGS:
        raise InvalidSpec(errors={"tags": [f"A run has at most {MAX_TAGS} tags, not {len(found)}."]})
    return found


def _refuse_unkeepable(run: Run, fields: Sequence[str]) -> None:
    """Look at these fields only: what PostgreSQL gives back of a kept config need not be what it would take again."""
    errors = {
        field: [f"It {problem}."]
        for field in {"name", "config", "tags", "notes", "status_reason"} & set(fields)
        if (problem := text.json_problem(getattr(run, field)))
    }
    if len(run.notes) > MAX_NOTES:
        errors["notes"] = [f"It has {len(run.notes):,} characters; at most {MAX_NOTES:,} are kept."]
    if "config" in fields and "config" not in errors and (size := len(orjson.dumps(run.config))) > MAX_CONFIG:
        errors["config"] = [f"It has {size:,} bytes as JSON; at most {MAX_CONFIG:,} are kept."]
    try:
        run.clean_fields(exclude=[f.name for f in Run._meta.fields if f.name in errors or f.name not in fields])
    except ValidationError as error:
        errors |= error.message_dict
    if errors:
        raise InvalidSpec(errors=errors)


@transaction.atomic
def run_status_set(*, run_id: int, status: str, reason: str = "") -> bool:
    """Change the run's status, with an event in its stream. False when it has that status already, or is gone.

    Ending sets `ended_at`; going on again clears it. Leaving `pending` for the first time sets `started_at`.

    Raises:
        InvalidSpec: no such status.
    """
    return run_status_append(run_id=run_id, status=status, reason=reason)


def run_status_append(
    *,
    run_id: int,
    status: str,
    reason: str = "",
    points: Sequence[stream.Point] = (),
    logs: Sequence[stream.LogEntry] = (),
) -> bool:
    """As `run_status_set`, in the caller's transaction, with what the stream is to tell before the change.

    Raises:
        InvalidSpec: no such status, or a point that cannot be kept.
        NotFound: points or lines for a run that is gone.
    """
    event = _write_status(run_id, status, reason=reason)
    if event or points or logs:
        changes = {"run_id": run_id, **event} if event else None
        stream.append(run_id=run_id, points=points, logs=logs, changes=changes)
    return bool(event)


def _write_status(run_id: int, status: str, *, reason: str) -> dict[str, Any]:
    """Change the run's status; what the stream is to tell, nothing where it has that status already, or is gone.

    Raises InvalidSpec: no such status.
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
            # Whoever goes on with it may be another process, which need not send heartbeats.
            heartbeat_at=None if ended_at is None else F("heartbeat_at"),
            silent_at=None,
            updated_at=now,
        )
    )
    if not changed:
        return {}
    return {
        "status": status,
        "status_reason": reason,
        "ended_at": stream.timestamp(ended_at) if ended_at else None,
    }
