"""Writes of metric points: whole or not at all, and once for each idempotency key."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from automl_site.errors import Conflict, InvalidSpec
from tracking import store, stream
from tracking.models import IdempotencyKey, MetricSegment, Run
from tracking.services.heartbeats import run_revive
from tracking.store import Point

MAX_KEY = 255  # characters
KEYS_LIVE = timedelta(days=1)
SWEEP = 5_000  # keys removed at a time


@dataclass(frozen=True, slots=True)
class Idempotency:
    """Who repeats what: the caller's id, the `Idempotency-Key` it sent, and the digest of what came with it."""

    user_id: int
    key: str
    fingerprint: str

    @classmethod
    def of(cls, *, user_id: int, key: str, path: str, body: bytes) -> "Idempotency":
        """Raises InvalidSpec for a key that is not 1 to MAX_KEY visible ASCII characters."""
        if not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
            raise InvalidSpec(
                errors={
                    "Idempotency-Key": [f"It must have 1 to {MAX_KEY} characters, ASCII letters, digits and signs."]
                }
            )
        digest = hashlib.sha256(path.rstrip("/").encode(errors="surrogatepass") + b"\0" + body)
        return cls(user_id=user_id, key=key, fingerprint=digest.hexdigest())


def points_log(
    *, run_id: int, points: Sequence[Point], single: bool = False, idempotency: Idempotency | None = None
) -> dict[str, Any]:
    """Append the points to the run's stream, in one transaction, and answer as the tracking contract does.

    That is `{"message": "Logged 3 metrics successfully"}`, or with `single` the one point as it was kept, with its
    public id, step and time. The caller has checked who may log into the run. Inside of another transaction this is a
    savepoint: what is refused here leaves the other's work as it is.

    With `idempotency`, a request that was answered before adds nothing and is answered the same.

    Raises:
        Conflict: the key has come before with another body.
        InvalidSpec: a point that cannot be kept.
        NotFound: there is no such run.
    """
    if single and points[0].time is None:
        points = [replace(points[0], time=timezone.now())]  # which the answer has to name
    try:
        with transaction.atomic():
            # Locks the run's row: until we commit, nobody else writes to this run or takes its keys.
            last = stream.append(run_id=run_id, points=points)
            if Run.objects.filter(pk=run_id, silent_at__isnull=False).exists():
                run_revive(run_id=run_id)
            answer = _point_answer(run_id, points[0], last) if single else _batch_answer(len(points))
            if idempotency is not None:
                IdempotencyKey.objects.create(
                    user_id=idempotency.user_id,
                    run_id=run_id,
                    key=idempotency.key,
                    fingerprint=idempotency.fingerprint,
                    answer=answer,
                )
    except IntegrityError:
        # The key was there: what was appended is undone, and the first answer given again.
        earlier = None if idempotency is None else _earlier_answer(run_id, idempotency)
        if earlier is None:
            raise
        return dict(earlier)
    return answer


def idempotency_sweep(*, limit: int = SWEEP) -> int:
    """Forget at most `limit` keys that are older than a day; how many there were. For the reconciler."""
    # No user asks: the reconciler cleans up for all.
    old = IdempotencyKey.objects.filter(created_at__lt=timezone.now() - KEYS_LIVE).order_by("created_at")
    count, _ = IdempotencyKey.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:limit])).delete()
    return count


def _earlier_answer(run_id: int, idempotency: Idempotency) -> Mapping[str, Any] | None:
    row = IdempotencyKey.objects.filter(run_id=run_id, user_id=idempotency.user_id, key=idempotency.key).first()
    if row is None:
        return None
    if row.fingerprint != idempotency.fingerprint:
        raise Conflict(
            f"The Idempotency-Key '{idempotency.key[:80]}' has come before with another body; "
            "send each new request with a new key."
        )
    return row.answer


def _batch_answer(count: int) -> dict[str, Any]:
    return {"message": f"Logged {count} metrics successfully"}


def _point_answer(run_id: int, point: Point, seq: int) -> dict[str, Any]:
    """The point as it stands in the store, where one without a step has got one."""
    assert point.time is not None  # noqa: S101 - set by the caller
    # It is the only one of its segment: nobody has seen it yet but this transaction.
    first_id = MetricSegment.objects.filter(run_id=run_id, seq=seq).values_list("first_id", flat=True).get()
    step = point.step
    if step is None:
        step = store.read_points(run_id=run_id, after=seq - 1, until=seq)[0].step
    return {
        "id": first_id,
        "run_id": run_id,
        "name": point.name,
        "value": stream.json_number(point.value),
        "step": step,
        "timestamp": stream.timestamp(point.time),
    }
