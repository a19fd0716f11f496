"""What one user may ask of the queues: how urgent, and how much at a time."""

from django.conf import settings

from automl_site.errors import Forbidden, InvalidSpec, TooManyPending
from jobs.models import HIGHEST_PRIORITY, LOWEST_PRIORITY, Job, JobStatus
from tracking.models import User


def highest_priority(user: User) -> int:
    """The highest priority that this user may give to a job: operators may let theirs go before all others'."""
    return HIGHEST_PRIORITY if user.is_staff or user.is_superuser else 0


def check_priority(user: User, priority: int) -> None:
    """Raises InvalidSpec for what is no priority, Forbidden for one that the user may not give."""
    if type(priority) is not int or not LOWEST_PRIORITY <= priority <= HIGHEST_PRIORITY:
        allowed = f"a whole number from {LOWEST_PRIORITY} to {HIGHEST_PRIORITY}"
        raise InvalidSpec(errors={"priority": [f"priority must be {allowed}; it is {str(priority)[:40]}"]})
    most = highest_priority(user)
    if priority > most:
        raise Forbidden(f"priority {priority} is for operators; use {most}, or a lower one for what can wait.")


def hold_submissions(user: User) -> None:
    """Until the present transaction ends, let no other one that asks for this write a job of this user."""
    list(User.objects.select_for_update(no_key=True).filter(pk=user.pk).order_by().values_list("pk"))


def check_room_for_one(user: User) -> None:
    """Whether the user may have one more pending job.

    Call it within the transaction that writes the job.

    Raises:
        TooManyPending: the message has the number, and what to do.
    """
    limit = settings.JOBS["max_pending_per_user"]
    if not limit:
        return
    hold_submissions(user)
    pending = Job.objects.filter(status=JobStatus.PENDING, owner_id=user.pk, parent__isnull=True).order_by()
    if (count := pending[:limit].count()) >= limit:
        raise TooManyPending(
            f"Your pending jobs: {count}, of at most {limit}. Wait until some have begun, or cancel some, then submit "
            "again."
        )
