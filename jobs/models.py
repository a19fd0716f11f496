"""Jobs, their attempts, the workers, and the models that come out.

The job row is the truth; an entry in Redis is only a wake-up for a queue. A job's states and their legal transitions:

    pending   -> running      a worker claimed it (a new attempt begins)
    pending   -> cancelled    the user cancelled it
    running   -> completed    the attempt that holds the claim finished it
    running   -> failed       the job's own fault, its deadline, or the last of its attempts was lost
    running   -> cancelled    the user cancelled it; the worker sees its claim gone and kills the process tree
    running   -> pending      the attempt was lost (worker, machine) or handed back (worker told to end)

`completed`, `failed` and `cancelled` are final. Every transition is one conditional UPDATE (jobs/lifecycle.py) whose
row count is checked: it names the status it leaves and, from `running`, the number of the attempt that holds the claim.
"""

import secrets
import uuid

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from jobs.querysets import JobQuerySet, OfJobQuerySet, TrainedModelQuerySet
from tracking.models import LogLevel


def new_model_id() -> str:
    return f"model_{secrets.token_hex(6)}"


class JobStatus(models.TextChoices):
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


LIVE_STATUSES = (JobStatus.PENDING, JobStatus.RUNNING)
FINAL_STATUSES = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)
LOWEST_PRIORITY, HIGHEST_PRIORITY = -10, 10


class Job(models.Model):
    """One piece of background work: a training, or an inference with a trained model."""

    class Kind(models.TextChoices):
        TRAINING = "training"
        INFERENCE = "inference"

    class ErrorKind(models.TextChoices):
        NONE = "", "none"
        OWN = "own", "the job's own (data, parameters, code)"
        TIMEOUT = "timeout", "deadline"
        INFRASTRUCTURE = "infrastructure", "lost worker or machine"
        INTERNAL = "internal", "a bug of the platform"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    contract = models.CharField(max_length=20, default="job_queue")  # by which it came: job_queue, automl, …, page
    model_type = models.CharField(max_length=100)
    queue = models.CharField(max_length=40)
    gpus = models.PositiveSmallIntegerField(default=0)  # that a worker of a GPU queue must own
    priority = models.SmallIntegerField(default=0, help_text="Higher runs first.")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="jobs")
    project = models.ForeignKey("tracking.Project", null=True, on_delete=models.CASCADE, related_name="jobs")
    run = models.OneToOneField("tracking.Run", null=True, on_delete=models.SET_NULL, related_name="job")
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="children")
    retry_of = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="retries")
    resumes = models.BooleanField(default=False)  # goes on from the checkpoint of `retry_of`
    description = models.TextField(blank=True)
    requires_gpu = models.BooleanField(default=False)
    framework_override = models.CharField(max_length=40, blank=True)

    # A training's order
    data_path = models.CharField(max_length=1000, blank=True)  # as the caller wrote it
    dataset = models.ForeignKey("datasets_app.Dataset", null=True, on_delete=models.SET_NULL, related_name="jobs")
    hyperparameters = models.JSONField(default=dict, blank=True)  # as given; the trainer's config is made from them
    model_public_id = models.CharField(max_length=20, blank=True)  # reserved at submission
    # An inference's order
    model = models.ForeignKey("TrainedModel", null=True, on_delete=models.CASCADE, related_name="inferences")
    input_data = models.JSONField(null=True, blank=True)
    parameters = models.JSONField(default=dict, blank=True)

    status = models.CharField(max_length=10, choices=JobStatus.choices, default=JobStatus.PENDING)
    attempt = models.PositiveIntegerField(default=0)  # number of the attempt that holds, or last held, the claim
    lost_attempts = models.PositiveIntegerField(default=0)  # those that count against settings.JOBS["max_attempts"]
    progress = models.FloatField(default=0.0, validators=[MinValueValidator(0.0), MaxValueValidator(1.0)])
    message = models.CharField(max_length=500, blank=True)  # what it is doing, in a few words
    metrics = models.JSONField(default=dict, blank=True)  # the last value of each metric so far
    result = models.JSONField(null=True, blank=True)
    error = models.TextField(blank=True)
    error_kind = models.CharField(max_length=16, choices=ErrorKind.choices, default="", blank=True)
    error_details = models.JSONField(default=dict, blank=True)
    log_seq = models.BigIntegerField(default=0, editable=False)  # of a job without a run: its last log line
    estimated_seconds = models.FloatField(default=0.0)
    timeout_seconds = models.FloatField(null=True, blank=True)  # for all its attempts together
    # Of a training that was cancelled or failed: the machine that keeps its last checkpoint.
    checkpoint_host = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)  # of the first attempt
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(
                fields=["queue", "-priority", "created_at"], condition=Q(status="pending"), name="job_pending_by_queue"
            ),
            models.Index(
                fields=["owner", "queue", "-priority", "created_at"],
                condition=Q(status="pending"),
                name="job_pending_by_owner",
            ),
            # What runs is looked at with each claim, however many others there are.
            models.Index(fields=["owner", "queue"], condition=Q(status="running"), name="job_running"),
            models.Index(fields=["owner", "-created_at"], name="job_by_owner"),
            models.Index(fields=["-created_at", "-id"], name="job_newest"),
            models.Index(fields=["status", "-created_at"], name="job_by_status"),
            models.Index(fields=["model_type", "kind", "status", "-ended_at", "started_at"], name="job_similar"),
            models.Index(fields=["ended_at"], condition=Q(ended_at__isnull=False), name="job_ended"),
            models.Index(fields=["owner", "queue", "-started_at"], name="job_share"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(progress__gte=0.0, progress__lte=1.0), name="job_progress_fraction"),
            models.CheckConstraint(
                condition=Q(priority__gte=LOWEST_PRIORITY, priority__lte=HIGHEST_PRIORITY), name="job_priority_bounds"
            ),
            models.CheckConstraint(
                condition=Q(status__in=("pending", "running"), ended_at__isnull=True)
                | Q(status__in=("completed", "failed", "cancelled"), ended_at__isnull=False),
                name="job_ended_iff_final",
            ),
            models.CheckConstraint(
                condition=Q(kind="training", model__isnull=True) | Q(kind="inference", model__isnull=False),
                name="job_inference_has_model",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.public_id} ({self.model_type})"

    @property
    def public_id(self) -> str:
        """The id on job-queue and llm-pipelines."""
        return f"job_{self.id}"

    @property
    def title(self) -> str:
        """What lists and pages call it. Reads `model` where there is no description."""
        if self.description:
            return self.description
        return f"Inference with {self.model.name}" if self.model else self.model_type

    @property
    def is_live(self) -> bool:
        return self.status in LIVE_STATUSES


class Attempt(models.Model):
    """One worker's try at a job. That whose number stands in the job's row holds the claim; any other is a zombie."""

    class Status(models.TextChoices):
        RUNNING = "running"
        COMPLETED = "completed"
        FAILED = "failed"
        CANCELLED = "cancelled"
        LOST = "lost"
        HANDED_BACK = "handed_back"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    worker = models.ForeignKey("Worker", null=True, on_delete=models.SET_NULL, related_name="attempts")
    worker_name = models.CharField(max_length=100)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.RUNNING)
    reason = models.TextField(blank=True)
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()  # by the database's clock
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = OfJobQuerySet.as_manager()

    class Meta:
        ordering = ["job", "number"]
        indexes = [models.Index(fields=["heartbeat_at"], condition=Q(status="running"), name="attempt_running")]
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="attempt_number_per_job")]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job_id}"


class SubmissionKey(models.Model):
    """The `Idempotency-Key` that a job was submitted with, kept a day, so that a repetition makes no second job.

    Written in the transaction that writes the job. `fingerprint` is the SHA-256 of the request's path and body.
    """

    # No index of its own: the unique constraint's begins with it.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="submission_key")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    objects = OfJobQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="submission_key_once")]

    def __str__(self) -> str:
        return self.key


class JobLogLine(models.Model):
    """A log line of a job that has no run (an inference); a training's log is its run's."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="log_lines")
    seq = models.BigIntegerField()
    time = models.DateTimeField(default=timezone.now)
    level = models.CharField(max_length=6, choices=LogLevel.choices, default=LogLevel.INFO)
    message = models.TextField()

    objects = OfJobQuerySet.as_manager()

    class Meta:
        ordering = ["job", "seq"]
        constraints = [models.UniqueConstraint(fields=["job", "seq"], name="job_log_line_seq")]

    def __str__(self) -> str:
        return self.message[:80]


class TrainedModel(models.Model):
    """What a training left: an artefact folder `models/<public_id>/` in the storage, its metrics and its report."""

    public_id = models.CharField(max_length=20, unique=True, default=new_model_id, editable=False)
    job = models.OneToOneField(Job, null=True, on_delete=models.SET_NULL, related_name="trained_model")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="trained_models")
    project = models.ForeignKey("tracking.Project", on_delete=models.CASCADE, related_name="trained_models")
    run = models.ForeignKey("tracking.Run", null=True, on_delete=models.SET_NULL, related_name="trained_models")
    dataset = models.ForeignKey(
        "datasets_app.Dataset", null=True, on_delete=models.SET_NULL, related_name="trained_models"
    )
    name = models.CharField(max_length=200)
    model_type = models.CharField(max_length=100)
    framework = models.CharField(max_length=20)
    framework_version = models.CharField(max_length=40, blank=True)
    backend = models.CharField(max_length=40, blank=True)
    device = models.CharField(max_length=40, blank=True)
    task = models.CharField(max_length=40, blank=True)
    metrics = models.JSONField(default=dict, blank=True)
    report = models.JSONField(default=dict, blank=True)  # confusion matrix, importances, residuals… for the pages
    schema = models.JSONField(default=dict, blank=True)  # input columns and target: what the try-it form is made from
    size_bytes = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = TrainedModelQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["owner", "-id"], name="model_by_owner")]

    def __str__(self) -> str:
        return f"{self.name} ({self.public_id})"

    @property
    def path(self) -> str:
        """`model_path` in the contracts: good as a path and as a `base_model`."""
        return f"/models/{self.public_id}"


class Worker(models.Model):
    """A worker process and what it serves, registered by itself; live while its heartbeat is fresh."""

    class Kind(models.TextChoices):
        TRAINING = "training"
        INFERENCE = "inference"

    class State(models.TextChoices):
        IDLE = "idle"
        BUSY = "busy"
        STOPPED = "stopped"

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    queues = models.JSONField(default=list)
    capabilities = models.JSONField(default=dict)  # framework versions, devices, cores, memory
    state = models.CharField(max_length=10, choices=State.choices, default=State.IDLE)
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField(db_index=True)  # by the database's clock

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def gpus(self) -> int:
        """How many GPUs are its own."""
        return len(self.capabilities.get("devices", ()))


class Lease(models.Model):
    """Who is the active one of several (reconcilers). `renewed_at` is by the database's clock."""

    name = models.CharField(max_length=40, primary_key=True)
    holder = models.CharField(max_length=100)
    renewed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name}: {self.holder}"
