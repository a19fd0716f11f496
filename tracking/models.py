"""Users, projects and what a run leaves behind.

A run is one ordered stream of events (metric points, log lines, changes of state). Each event takes its `seq` from the
run's row, updated in the same transaction, so the order of commits is the order of `seq`, and a reader who has seen
`seq` n has seen all before it.
Metric points are packed (`MetricSegment`); only `tracking/store.py` knows their layout.
"""

from typing import ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractUser, UserManager
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone

from automl_site.rates import parse_rate
from tracking.querysets import (
    ApiKeyQuerySet,
    ProjectQuerySet,
    RunQuerySet,
    RunScopedQuerySet,
    SavedViewQuerySet,
    UserRateQuerySet,
)


class User(AbstractUser):
    """A person or a service. `username` and `email` are unique whatever their case."""

    email = models.EmailField("e-mail address", max_length=254)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    REQUIRED_FIELDS = ["email"]
    objects: ClassVar[UserManager] = UserManager()
    _local: list[int] | None = None  # of `acts_as`

    class Meta(AbstractUser.Meta):
        constraints = [
            models.UniqueConstraint(Lower("username"), name="user_username_unique_ci"),
            models.UniqueConstraint(Lower("email"), name="user_email_unique_ci"),
        ]

    def acts_as(self) -> list[int]:
        """The users whose private things this one may use (ids): oneself, and in open mode `local` as well."""
        if not settings.OPEN_MODE or self.username == settings.OPEN_USERNAME:
            return [self.pk]
        if not self._local:  # asked for once a request; it may not have been made yet
            local = type(self)._default_manager.filter(username=settings.OPEN_USERNAME)
            self._local = list(local.values_list("pk", flat=True))
        return [self.pk, *self._local]


class ApiKey(models.Model):
    """A revocable credential. Only the SHA-256 of the secret is kept; `prefix` is what lists show of it."""

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, db_index=True, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        verbose_name = "API key"
        verbose_name_plural = "API keys"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def is_usable(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())


def validate_rate(rate: str) -> None:
    """Raises ValidationError for what `automl_site.rates` cannot read."""
    try:
        parse_rate(rate)
    except ValueError as error:
        raise ValidationError(str(error)) from error


class UserRate(models.Model):
    """A user's own rate limit, in place of the deployment's (`settings.RATE_LIMITS`) of that name."""

    class Name(models.TextChoices):
        TRACKING_MINUTE = "tracking_minute"
        TRACKING_HOUR = "tracking_hour"
        TRACKING_METRICS = "tracking_metrics", "POST /metrics/…"
        LLM_USER = "llm_user"
        JOB_QUEUE = "job_queue"
        AUTOML = "automl"
        METRIC_LEARNING = "metric_learning"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="rates")
    name = models.CharField(max_length=30, choices=Name.choices)
    rate = models.CharField(
        max_length=20, blank=True, validators=[validate_rate], help_text="count/period: 100/m, 30/5m; empty: no limit"
    )

    objects = UserRateQuerySet.as_manager()

    class Meta:
        ordering = ["user", "name"]
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="user_rate_once")]

    def __str__(self) -> str:
        return f"{self.name}: {self.rate or 'no limit'}"


class Project(models.Model):
    """A folder of runs. Each user has one private project of kind `jobs`, made when a job first needs it."""

    class Kind(models.TextChoices):
        NORMAL = "normal"
        JOBS = "jobs"

    name = models.CharField(max_length=200)
    description = models.TextField(blank=True, validators=[MaxLengthValidator(10_000)])
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="projects")
    is_public = models.BooleanField(default=False)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.NORMAL, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["owner"], condition=Q(kind="jobs"), name="project_one_jobs_per_owner"),
        ]

    def __str__(self) -> str:
        return self.name


class ProjectMember(models.Model):
    class Role(models.TextChoices):
        VIEWER = "viewer"
        EDITOR = "editor"
        OWNER = "owner"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.VIEWER)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="member_once_per_project")]

    def __str__(self) -> str:
        return f"{self.user} in {self.project}: {self.role}"


class Run(models.Model):
    """One training, by a script elsewhere or by a job of this platform.

    `pending -> running -> completed | failed | cancelled`; a finished run may go back to `running`: it was resumed.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        RUNNING = "running"
        COMPLETED = "completed"
        FAILED = "failed"
        CANCELLED = "cancelled"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="runs")
    name = models.CharField(max_length=200)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.RUNNING, db_index=True)
    status_reason = models.CharField(max_length=500, blank=True)
    config = models.JSONField(default=dict, blank=True)
    tags = models.JSONField(default=list, blank=True)
    notes = models.TextField(blank=True)
    seq = models.BigIntegerField(default=0, editable=False)  # of the last event of the run's stream
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True, editable=False)  # null: nobody promised to send any
    heartbeat_seq = models.BigIntegerField(default=0, editable=False)  # `seq` at that heartbeat
    silent_at = models.DateTimeField(null=True, blank=True, editable=False)  # when silence made it `failed`
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            # Without the trash: a project's runs are counted from the index alone.
            models.Index(fields=["project", "-id"], condition=Q(deleted_at__isnull=True), name="live_run_by_project"),
            models.Index(
                fields=["heartbeat_at"],
                condition=Q(status="running", heartbeat_at__isnull=False),
                name="run_by_heartbeat",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class SavedView(models.Model):
    """A state of a project's runs table under a name: one's own, or shared with all who see the project."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="saved_views")
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="saved_views")
    name = models.CharField(max_length=100)
    address = models.TextField(blank=True, validators=[MaxLengthValidator(8000)])  # the query of the page's address
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = SavedViewQuerySet.as_manager()

    class Meta:
        ordering = ["project", "name", "pk"]
        constraints = [models.UniqueConstraint(fields=["project", "owner", "name"], name="saved_view_name_once")]

    def __str__(self) -> str:
        return self.name


class RunEvent(models.Model):
    """A change of a run's state, in its stream."""

    # No index of its own: the unique constraint's begins with it.
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events", db_index=False)
    seq = models.BigIntegerField()
    kind = models.CharField(max_length=20)  # "run": status or fields changed
    payload = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = RunScopedQuerySet.as_manager()

    class Meta:
        ordering = ["run", "seq"]
        constraints = [models.UniqueConstraint(fields=["run", "seq"], name="run_event_seq")]

    def __str__(self) -> str:
        return f"{self.kind} #{self.seq}"


class LogLevel(models.TextChoices):
    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


class LogLine(models.Model):
    """One line of a run's log. `agent` and `node` are a pipeline stage's class and name, empty elsewhere."""

    # No index of its own: the unique constraint's begins with it.
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="log_lines", db_index=False)
    seq = models.BigIntegerField()
    time = models.DateTimeField(default=timezone.now)
    level = models.CharField(max_length=6, choices=LogLevel.choices, default=LogLevel.INFO)
    agent = models.CharField(max_length=100, blank=True)
    node = models.CharField(max_length=100, blank=True)
    message = models.TextField()

    objects = RunScopedQuerySet.as_manager()

    class Meta:
        ordering = ["run", "seq"]
        constraints = [models.UniqueConstraint(fields=["run", "seq"], name="log_line_seq")]

    def __str__(self) -> str:
        return self.message[:80]


class MetricSeries(models.Model):
    """The running summary of one metric of a run, written in the transaction that appends its points.

    Minimum, maximum and sum skip NaN and infinities (`number_count` counts what is left). `last_value` is NULL for NaN,
    because SQLite keeps no NaN; with `count` > 0 a NULL therefore reads as NaN.
    """

    # No index of its own: the unique constraint's begins with it.
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="series", db_index=False)
    name = models.CharField(max_length=250)
    count = models.BigIntegerField(default=0)
    number_count = models.BigIntegerField(default=0)
    nan_count = models.BigIntegerField(default=0)
    last_value = models.FloatField(null=True)
    last_step = models.BigIntegerField(null=True)
    last_time = models.DateTimeField(null=True)
    next_step = models.BigIntegerField(default=0)
    min_value = models.FloatField(null=True)
    max_value = models.FloatField(null=True)
    sum_value = models.FloatField(default=0.0)

    objects = RunScopedQuerySet.as_manager()

    class Meta:
        ordering = ["run", "name"]
        verbose_name_plural = "metric series"
        constraints = [
            models.UniqueConstraint(fields=["run", "name"], name="series_name_per_run"),
            models.CheckConstraint(condition=Q(number_count__lte=F("count")), name="series_counts_agree"),
        ]

    def __str__(self) -> str:
        return self.name


class MetricSegment(models.Model):
    """The points of one request, packed (`tracking/store/layout.py`). Point i has the public id `first_id` + i."""

    # No index of its own: the unique constraint's begins with it.
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="segments", db_index=False)
    seq = models.BigIntegerField()  # of its last point; its first one's is seq - count + 1
    first_id = models.BigIntegerField(unique=True)
    count = models.PositiveIntegerField()
    payload = models.BinaryField()

    objects = RunScopedQuerySet.as_manager()

    class Meta:
        ordering = ["run", "seq"]
        constraints = [models.UniqueConstraint(fields=["run", "seq"], name="segment_seq")]

    def __str__(self) -> str:
        return f"{self.count} points up to #{self.seq}"


class MetricChunk(models.Model):
    """Up to 8,192 points of one series, compressed, sorted by time, then step, then id (`tracking/store/layout.py`).

    At most one of a series is open: the next fold adds to it, by replacing it. Times are microseconds since 1970-01-01
    UTC. `coarse` holds the extremes of each 64 points, for charts. Extremes and sums stand in the series' row.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="chunks", db_index=False)
    # Series go with their run only, and so do chunks: a second cascade would load every series' row for nothing.
    series = models.ForeignKey(MetricSeries, on_delete=models.DO_NOTHING, related_name="chunks", db_index=False)
    count = models.PositiveIntegerField()
    first_time = models.BigIntegerField()
    last_time = models.BigIntegerField()
    min_step = models.BigIntegerField()
    max_step = models.BigIntegerField()
    is_ascending = models.BooleanField()  # each point's step is greater than that of the point before
    is_open = models.BooleanField()
    first_seq = models.BigIntegerField()
    last_seq = models.BigIntegerField()
    coarse = models.BinaryField()
    payload = models.BinaryField()  # last: SQLite reads a row up to what is asked for

    objects = RunScopedQuerySet.as_manager()

    class Meta:
        ordering = ["series", "first_time", "pk"]
        indexes = [
            models.Index(fields=["run", "last_seq", "first_seq"], name="chunk_by_seq"),
            models.Index(fields=["series", "first_time"], name="chunk_by_time"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["series"], condition=Q(is_open=True), name="chunk_one_open"),
        ]

    def __str__(self) -> str:
        return f"{self.count} points up to #{self.last_seq}"


class IdempotencyKey(models.Model):
    """What a request with an `Idempotency-Key` was answered, kept a day, so that its repetition adds nothing.

    Written in the transaction that stores the request's points. `fingerprint` is the SHA-256 of the request's body.
    """

    # No index of its own: the unique constraint's begins with it.
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="idempotency_keys")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    answer = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    objects = RunScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["user", "run", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return self.key


class MetricCounter(models.Model):
    """One row: the next free public id of a metric point. Taken last in a transaction, so that it is locked briefly."""

    next_id = models.BigIntegerField(default=1)


# Django looks for models here.
from tracking.artifact_models import Artifact, ArtifactBlob, ArtifactPiece, ArtifactUpload  # noqa: E402, F401
from tracking.environment_models import RunEnvironment  # noqa: E402, F401
