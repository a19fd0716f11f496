"""Operators' pages for jobs, attempts, models and workers, and for the files of runs, whose services are here too.

Actions call the services that pages and contracts call.
"""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse

from automl_site.admin import TruthAdmin, act_on_each, shortened
from automl_site.errors import Conflict
from jobs.models import Attempt, Job, JobLogLine, Lease, SubmissionKey, TrainedModel, Worker
from jobs.selectors.jobs import BULKY, parse_job_id
from jobs.selectors.queues import routing_table
from jobs.selectors.scheduling import live_workers, waiting_message
from jobs.services.artifact_trash import artifact_restore, artifact_trash
from jobs.services.artifact_uploads import upload_drop
from jobs.services.control import job_cancel, job_run_again, model_restore, model_trash
from tracking.models import Artifact, ArtifactBlob, ArtifactPiece, ArtifactUpload

SHOWN_TITLE = 80  # characters
# A run's own long fields: lists of what belongs to it show no more than its name.
OF_RUN_DEFER = ("run__config", "run__notes", "run__tags")


class AttemptInline(admin.TabularInline):
    model = Attempt
    extra = 0
    can_delete = False
    fields = readonly_fields = ("number", "worker_name", "status", "reason", "started_at", "heartbeat_at", "ended_at")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Job)
class JobAdmin(TruthAdmin):
    list_display = (
        "public_id",
        "title",
        "kind",
        "model_type",
        "queue",
        "owner",
        "status",
        "percent",
        "attempt",
        "created_at",
    )
    list_filter = ("status", "kind", "queue", "model_type", "contract", "error_kind", "created_at")
    search_fields = ("id", "description", "data_path", "owner__username", "error")
    list_select_related = ("owner", "model")
    list_defer = (*BULKY, "model__report", "model__schema")
    date_hierarchy = "created_at"
    inlines = [AttemptInline]
    actions = ["cancel", "run_again"]
    fieldsets = [
        (
            None,
            {
                "fields": (
                    "public_id",
                    "title",
                    "status",
                    "waiting",
                    "percent",
                    "message",
                    "error",
                    "error_kind",
                    "error_details_shown",
                )
            },
        ),
        (
            "Order",
            {
                "fields": (
                    "kind",
                    "contract",
                    "model_type",
                    "description",
                    "data_path",
                    "dataset",
                    "hyperparameters_shown",
                )
            },
        ),
        ("Inference", {"fields": ("model", "input_data_shown", "parameters"), "classes": ("collapse",)}),
        (
            "Routing",
            {
                "fields": (
                    "queue",
                    "requires_gpu",
                    "gpus",
                    "framework_override",
                    "priority",
                    "attempt",
                    "lost_attempts",
                )
            },
        ),
        ("Result", {"fields": ("model_public_id", "metrics_shown", "result_shown", "checkpoint_host")}),
        ("Whose", {"fields": ("owner", "project", "run", "parent", "retry_of", "resumes")}),
        (
            "Times",
            {
                "fields": (
                    "created_at",
                    "started_at",
                    "ended_at",
                    "updated_at",
                    "estimated_seconds",
                    "timeout_seconds",
                )
            },
        ),
    ]

    error_details_shown = shortened("error_details")
    hyperparameters_shown = shortened("hyperparameters")
    input_data_shown = shortened("input_data")
    metrics_shown = shortened("metrics")
    result_shown = shortened("result")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Job], search_term: str) -> Any:
        pk = parse_job_id(search_term.strip())
        return super().get_search_results(request, queryset, str(pk) if pk else search_term)

    @admin.display(description="title")
    def title(self, job: Job) -> str:
        return job.title if len(job.title) <= SHOWN_TITLE else f"{job.title[:SHOWN_TITLE]}…"

    @admin.display(description="progress")
    def percent(self, job: Job) -> str:
        return f"{job.progress:.0%}"

    @admin.display(description="waits because")
    def waiting(self, job: Job) -> str:
        return waiting_message(job) or "–"

    @admin.action(description="Cancel the chosen jobs")
    def cancel(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        act_on_each(request, jobs, lambda job: job_cancel(user=request.user, job=job), done="cancelled")

    @admin.action(description="Run the chosen jobs again (as new jobs of their owners)")
    def run_again(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        act_on_each(request, jobs, lambda job: job_run_again(user=job.owner, job=job), done="submitted again")


@admin.register(Attempt)
class AttemptAdmin(TruthAdmin):
    list_display = ("job", "number", "worker_name", "status", "started_at", "heartbeat_at", "ended_at", "reason")
    list_filter = ("status", "started_at")
    search_fields = ("job__id", "worker_name", "reason")
    list_select_related = ("job",)
    list_defer = [f"job__{field}" for field in BULKY]


@admin.register(JobLogLine)
class JobLogLineAdmin(TruthAdmin):
    list_display = ("job", "seq", "time", "level", "message")
    list_filter = ("level",)
    search_fields = ("message", "job__id")
    list_select_related = ("job",)
    list_defer = [f"job__{field}" for field in BULKY]


@admin.register(TrainedModel)
class TrainedModelAdmin(TruthAdmin):
    list_display = (
        "public_id",
        "name",
        "model_type",
        "framework",
        "task",
        "owner",
        "score",
        "created_at",
        "deleted_at",
    )
    list_filter = ("framework", "model_type", "task", ("deleted_at", admin.EmptyFieldListFilter), "created_at")
    search_fields = ("public_id", "name", "owner__username")
    list_select_related = ("owner",)
    list_defer = ("report", "schema")
    exclude = ("metrics", "report", "schema")
    readonly_fields = ("metrics_shown", "report_shown", "schema_shown")
    actions = ["trash", "restore"]
    metrics_shown = shortened("metrics")
    report_shown = shortened("report")
    schema_shown = shortened("schema")

    @admin.display(description="score")
    def score(self, model: TrainedModel) -> str:
        for name in ("accuracy", "r2"):
            if name in model.metrics:
                return f"{name} {model.metrics[name]:.4g}"
        return "–"

    @admin.action(description="Put the chosen models into the trash")
    def trash(self, request: HttpRequest, models: QuerySet[TrainedModel]) -> None:
        act_on_each(request, models, lambda model: model_trash(user=request.user, model=model), done="trashed")

    @admin.action(description="Restore the chosen models from the trash")
    def restore(self, request: HttpRequest, models: QuerySet[TrainedModel]) -> None:
        act_on_each(request, models, lambda model: model_restore(user=request.user, model=model), done="restored")


@admin.register(Worker)
class WorkerAdmin(TruthAdmin):
    list_display = (
        "name",
        "kind",
        "liveness",
        "queue_names",
        "frameworks",
        "own_gpus",
        "host",
        "pid",
        "started_at",
        "heartbeat_at",
    )
    list_filter = ("kind", "state", "host")
    search_fields = ("name", "host")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The list, and under it the document's routing table with who serves each line."""
        shown = {"routing": routing_table(live_workers()), **(extra_context or {})}
        return super().changelist_view(request, extra_context=shown)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        self._live = {worker.pk for worker in live_workers()}
        return super().get_queryset(request)

    @admin.display(description="state")
    def liveness(self, worker: Worker) -> str:
        return worker.state if worker.pk in self._live else "silent"

    @admin.display(description="queues")
    def queue_names(self, worker: Worker) -> str:
        return ", ".join(worker.queues)

    @admin.display(description="frameworks")
    def frameworks(self, worker: Worker) -> str:
        versions = worker.capabilities.get("frameworks", {})
        return ", ".join(f"{name} {version}" for name, version in versions.items())

    @admin.display(description="GPUs of its own")
    def own_gpus(self, worker: Worker) -> str:
        return ", ".join(str(device.get("name")) for device in worker.capabilities.get("devices", ())) or "–"


@admin.register(SubmissionKey)
class SubmissionKeyAdmin(TruthAdmin):
    list_display = ("key", "user", "job_id", "created_at")
    list_filter = ("created_at",)
    search_fields = ("key", "user__username")
    list_select_related = ("user",)


@admin.register(Lease)
class LeaseAdmin(TruthAdmin):
    list_display = ("name", "holder", "renewed_at")
    search_fields = ("name", "holder")
    list_filter = ("name",)


@admin.register(Artifact)
class ArtifactAdmin(TruthAdmin):
    list_display = ("path", "run", "version", "is_latest", "size", "created_by", "created_at", "deleted_at")
    search_fields = ("path", "run__name", "blob__sha256", "created_by__username")
    list_filter = ("is_latest", ("deleted_at", admin.EmptyFieldListFilter), "created_at")
    list_select_related = ("run", "blob", "created_by")
    list_defer = OF_RUN_DEFER
    actions = ["trash", "restore"]

    @admin.display(description="bytes", ordering="blob__size_bytes")
    def size(self, file: Artifact) -> int:
        return file.blob.size_bytes

    @admin.action(description="Put the chosen files into the trash, with all their versions")
    def trash(self, request: HttpRequest, files: QuerySet[Artifact]) -> None:
        def trash(file: Artifact) -> None:
            if file.deleted_at is not None:
                raise Conflict("It is in the trash already.")
            artifact_trash(user=request.user, run_id=file.run_id, path=file.path)

        act_on_each(request, _one_a_file(files), trash, done="trashed")

    @admin.action(description="Restore the chosen files from the trash, with all their versions")
    def restore(self, request: HttpRequest, files: QuerySet[Artifact]) -> None:
        def restore(file: Artifact) -> None:
            if file.deleted_at is None:
                raise Conflict("It is not in the trash.")
            artifact_restore(user=request.user, run_id=file.run_id, path=file.path, deleted_at=file.deleted_at)

        act_on_each(request, _one_a_file(files), restore, done="restored")


def _one_a_file(files: QuerySet[Artifact]) -> list[Artifact]:
    """One version of each file among these: its versions go into the trash, and come back, together."""
    return list({(file.run_id, file.path, file.deleted_at): file for file in files}.values())


@admin.register(ArtifactBlob)
class ArtifactBlobAdmin(TruthAdmin):
    list_display = ("sha256", "project", "size_bytes", "uses", "created_at")
    search_fields = ("sha256", "key", "project__name")
    list_filter = ("created_at",)
    list_select_related = ("project",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ArtifactBlob]:
        return super().get_queryset(request).annotate(file_count=Count("artifacts"))

    @admin.display(description="files")
    def uses(self, blob: ArtifactBlob) -> int:
        return blob.file_count


@admin.register(ArtifactUpload)
class ArtifactUploadAdmin(TruthAdmin):
    """Files that are still coming, piece by piece; what nobody goes on with is dropped a day after its last piece."""

    list_display = (
        "path",
        "run",
        "created_by",
        "received_bytes",
        "size_bytes",
        "piece_count",
        "created_at",
        "touched_at",
    )
    search_fields = ("public_id", "path", "sha256", "run__name", "created_by__username")
    list_filter = ("touched_at", "created_at", ("run", admin.EmptyFieldListFilter))
    list_select_related = ("run", "created_by")
    list_defer = OF_RUN_DEFER
    actions = ["drop"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ArtifactUpload]:
        return super().get_queryset(request).annotate(pieces_of_it=Count("pieces"))

    @admin.display(description="pieces")
    def piece_count(self, upload: ArtifactUpload) -> int:
        return upload.pieces_of_it

    @admin.action(description="Drop the chosen uploads with their pieces (who sends them begins anew)")
    def drop(self, request: HttpRequest, uploads: QuerySet[ArtifactUpload]) -> None:
        act_on_each(request, uploads, lambda upload: upload_drop(user=request.user, upload=upload), done="dropped")


@admin.register(ArtifactPiece)
class ArtifactPieceAdmin(TruthAdmin):
    list_display = ("upload", "offset", "size_bytes", "key")
    search_fields = ("key", "upload__public_id", "upload__path")
    list_filter = ("upload__touched_at",)
    list_select_related = ("upload",)
