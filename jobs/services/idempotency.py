"""Submissions that may be repeated: with the same `Idempotency-Key` one order makes one job."""

from django.utils import timezone

from automl_site.errors import Conflict
from jobs.models import Job, SubmissionKey
from tracking.services.metrics import KEYS_LIVE, SWEEP, Idempotency


def job_submitted(idempotency: Idempotency | None) -> Job | None:
    """The job that an order with this key has made; None where there is none, or no key.

    Ask before the order is checked: what it names may be gone by now. And once more, behind `hold_submissions`, in the
    transaction that writes the job: the first order may be on its way still.

    Raises:
        Conflict: the key has come before with another order.
    """
    if idempotency is None:
        return None
    keys = SubmissionKey.objects.filter(user_id=idempotency.user_id, key=idempotency.key).select_related("job")
    found = keys.first()
    if found is None:
        return None
    if found.fingerprint != idempotency.fingerprint:
        raise Conflict(
            f"The Idempotency-Key '{idempotency.key[:80]}' has come before with another body; "
            "send each new request with a new key."
        )
    return found.job


def submission_keep(*, job: Job, idempotency: Idempotency | None) -> None:
    """Remember by which key the job was submitted, if by any. In the transaction that writes the job."""
    if idempotency is not None:
        SubmissionKey.objects.create(
            user_id=idempotency.user_id, key=idempotency.key, fingerprint=idempotency.fingerprint, job=job
        )


def submission_key_sweep(*, limit: int = SWEEP) -> int:
    """Forget at most `limit` keys that are older than a day; how many there were. For the reconciler."""
    # No user asks: the reconciler cleans up for all.
    old = SubmissionKey.objects.filter(created_at__lt=timezone.now() - KEYS_LIVE).order_by("created_at")
    count, _ = SubmissionKey.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:limit])).delete()
    return count
