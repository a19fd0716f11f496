"""What the job-queue contract takes and answers."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from api.base.fields import (
    StrictBooleanField,
    StrictCharField,
    StrictFloatField,
    StrictIntegerField,
    UtcZDateTimeField,
)
from api.base.serializers import StrictSerializer
from jobs.models import HIGHEST_PRIORITY, LOWEST_PRIORITY, Job, JobStatus
from jobs.selectors.scheduling import waiting_message

LIMIT_DEFAULT = 100
LIMIT_MAX = 1000


def duration(seconds: float) -> str:
    """90.4 -> "00:01:30", as the document writes durations; hours go past 24."""
    whole = max(round(seconds), 1)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def timeout_field() -> serializers.Field:
    return StrictFloatField(
        required=False,
        default=None,
        allow_null=True,
        help_text="Seconds after which the job is stopped and fails, all its attempts together; an extension.",
    )


def priority_field() -> serializers.Field:
    return StrictIntegerField(
        required=False,
        default=0,
        min_value=LOWEST_PRIORITY,
        max_value=HIGHEST_PRIORITY,
        help_text="Higher runs first; above 0 for operators only; an extension.",
    )


class QueueOrderIn(StrictSerializer):
    """`null` is the same as leaving an optional field out: programs that fill in a form of fields send it so."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            optional = {name for name, field in self.fields.items() if not field.required}
            data = {name: value for name, value in data.items() if value is not None or name not in optional}
        return super().to_internal_value(data)


class QueueTrainingIn(QueueOrderIn):
    model_type = StrictCharField(max_length=100, help_text="Type of model to train: random_forest, svm, …")
    data_path = StrictCharField(
        max_length=1000, help_text="A path under /data, an s3:// address, or a data set's id (ds_…)."
    )
    hyperparameters = serializers.DictField(
        required=False, default=dict, help_text="Checked against the model type's config before the job is queued."
    )
    description = StrictCharField(required=False, default="", allow_blank=True, max_length=5000)
    requires_gpu = StrictBooleanField(required=False, default=False)
    framework_override = StrictCharField(
        required=False, default="", allow_blank=True, max_length=40, help_text="Force a queue: sklearn, pytorch-2.1, …"
    )
    project_id = StrictIntegerField(
        required=False, default=None, allow_null=True, min_value=1, help_text="Where the run goes; an extension."
    )
    priority = priority_field()
    timeout = timeout_field()


class QueueInferenceIn(QueueOrderIn):
    model_id = StrictCharField(max_length=200)
    input_data = serializers.JSONField(
        help_text="One CSV row, many rows, a JSON object or list of them, or a file (path, s3:// address, ds_… id)."
    )
    parameters = serializers.DictField(required=False, default=dict)
    priority = priority_field()
    timeout = timeout_field()


class QueueResumeIn(QueueOrderIn):
    """The body of `POST /jobs/{job_id}/resume`, an extension; it may be left out."""

    timeout = timeout_field()


class QueueListIn(serializers.Serializer):
    """The query of `GET /jobs`."""

    status = serializers.ChoiceField(
        choices=JobStatus.choices,
        required=False,
        error_messages={"invalid_choice": f'"{{input}}" is none of {", ".join(JobStatus.values)}.'},
    )
    limit = serializers.IntegerField(required=False, default=LIMIT_DEFAULT, min_value=0)
    offset = serializers.IntegerField(required=False, default=0, min_value=0, max_value=2**62)
    parent = serializers.CharField(required=False, max_length=60)

    def validate_limit(self, value: int) -> int:
        return min(value, LIMIT_MAX)


class QueueSubmittedOut(serializers.Serializer):
    """Answer of both POSTs."""

    job_id = serializers.CharField(source="public_id")
    status = serializers.SerializerMethodField()
    created_at = UtcZDateTimeField()
    estimated_duration = serializers.SerializerMethodField()

    def get_status(self, job: Job) -> str:
        return "queued"

    def get_estimated_duration(self, job: Job) -> str:
        return duration(job.estimated_seconds)


class QueueJobOut(serializers.Serializer):
    """One job's state. `error`, and what belongs to it, is there when there is one.

    `error_kind` tells the job's own fault (own, timeout) from the platform's (infrastructure, internal); `resumable`
    whether a checkpoint is kept that `POST /jobs/{job_id}/resume` goes on from.
    """

    job_id = serializers.CharField(source="public_id")
    job_type = serializers.CharField(source="kind")
    status = serializers.CharField()
    created_at = UtcZDateTimeField()
    updated_at = UtcZDateTimeField()
    progress = serializers.FloatField()
    message = serializers.SerializerMethodField()
    attempt = serializers.IntegerField()
    timeout = serializers.FloatField(source="timeout_seconds")
    result = serializers.SerializerMethodField()
    error = serializers.CharField()
    error_kind = serializers.CharField()
    resumable = serializers.SerializerMethodField()

    def get_message(self, job: Job) -> str:
        return waiting_message(job) or job.message

    def get_result(self, job: Job) -> dict[str, Any] | None:
        return result_so_far(job)

    def get_resumable(self, job: Job) -> bool:
        return bool(job.checkpoint_host)

    def to_representation(self, instance: Job) -> dict[str, Any]:
        answer = super().to_representation(instance)
        if not instance.error:
            for name in ("error", "error_kind", "resumable"):
                del answer[name]
        return answer


class QueueCancelledOut(serializers.Serializer):
    job_id = serializers.CharField(source="public_id")
    status = serializers.CharField()
    created_at = UtcZDateTimeField()
    updated_at = UtcZDateTimeField()
    error = serializers.CharField()


class QueueJobListItemOut(serializers.Serializer):
    job_id = serializers.CharField(source="public_id")
    job_type = serializers.CharField(source="kind")
    status = serializers.CharField()
    created_at = UtcZDateTimeField()
    model_type = serializers.CharField()
    model_id = serializers.CharField(source="model.public_id", default=None)
    description = serializers.CharField()
    progress = serializers.FloatField()


class QueueJobListOut(serializers.Serializer):
    jobs = QueueJobListItemOut(many=True)
    total = serializers.IntegerField()
    limit = serializers.IntegerField()
    offset = serializers.IntegerField()


def result_so_far(job: Job) -> dict[str, Any] | None:
    """Null until a worker has had the job; then an object that fills as the work goes on."""
    if job.result is not None:
        return job.result
    if job.attempt == 0:
        return None
    if job.kind == Job.Kind.INFERENCE:
        return {"model_id": job.model.public_id if job.model else None, "predictions": []}
    from jobs.routing import QUEUES

    return {"model_id": None, "model_path": None, "framework": QUEUES[job.queue].framework, "metrics": job.metrics}
