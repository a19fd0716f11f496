"""Files of runs. Their bytes lie in the storage, which `jobs.services.artifacts` writes."""

import secrets

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from tracking.querysets import ArtifactQuerySet, ProjectScopedQuerySet, RunScopedQuerySet


class ArtifactBlob(models.Model):
    """Bytes in the storage, kept once a project: a digest alone opens nothing of somebody else's project."""

    project = models.ForeignKey("tracking.Project", on_delete=models.CASCADE, related_name="artifact_blobs")
    sha256 = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()
    key = models.CharField(max_length=200, unique=True)  # in the storage
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ProjectScopedQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["project", "sha256"], name="artifact_blob_once_per_project")]

    def __str__(self) -> str:
        return self.sha256[:12]


class Artifact(models.Model):
    """A file of a run: what was uploaded to `path`, the first time as version 1, other bytes later as the next one.

    All versions of a file go into the trash together; none of them is the latest there.
    """

    run = models.ForeignKey("tracking.Run", on_delete=models.CASCADE, related_name="artifacts")
    blob = models.ForeignKey(ArtifactBlob, on_delete=models.RESTRICT, related_name="artifacts")
    path = models.CharField(max_length=500)  # relative, POSIX
    version = models.PositiveIntegerField()
    is_latest = models.BooleanField(default=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ArtifactQuerySet.as_manager()

    class Meta:
        ordering = ["run", "path", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["run", "path", "version"], name="artifact_version_once"),
            models.UniqueConstraint(fields=["run", "path"], condition=Q(is_latest=True), name="artifact_one_latest"),
            models.CheckConstraint(
                condition=Q(deleted_at__isnull=True) | Q(is_latest=False), name="artifact_trashed_is_not_latest"
            ),
        ]
        indexes = [
            models.Index(fields=["deleted_at"], condition=Q(deleted_at__isnull=False), name="artifact_by_deletion"),
        ]

    def __str__(self) -> str:
        return self.path


def new_upload_id() -> str:
    return secrets.token_hex(16)


class ArtifactUpload(models.Model):
    """A file that comes in pieces, which lie in the storage until all of them are there.

    `received_bytes` grows piece by piece and is the offset at which the next one begins. An upload whose run is gone,
    or that nobody has gone on with for a day, is cleared away with its pieces.

    A large file is put together while nobody waits for an answer: `assembled_at` is the sign of life of the process
    that is at it, and its outcome is the `artifact`, or the `refusal` (code, message, errors), until it was told.
    """

    public_id = models.CharField(max_length=32, unique=True, default=new_upload_id, editable=False)
    run = models.ForeignKey("tracking.Run", null=True, on_delete=models.SET_NULL, related_name="uploads")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    path = models.CharField(max_length=500)
    sha256 = models.CharField(max_length=64, blank=True)  # "": the sender announced none
    size_bytes = models.BigIntegerField()
    received_bytes = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    touched_at = models.DateTimeField(auto_now_add=True, db_index=True)  # when a piece came last
    assembled_at = models.DateTimeField(null=True, editable=False)
    artifact = models.ForeignKey(Artifact, null=True, on_delete=models.CASCADE, related_name="+", editable=False)
    refusal = models.JSONField(default=dict, editable=False)

    objects = RunScopedQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(received_bytes__gte=0, received_bytes__lte=F("size_bytes")), name="upload_within_its_size"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.path}: {self.received_bytes} of {self.size_bytes} bytes"


class ArtifactPiece(models.Model):
    """Bytes of an upload from `offset` on."""

    upload = models.ForeignKey(ArtifactUpload, on_delete=models.CASCADE, related_name="pieces")
    offset = models.BigIntegerField()
    size_bytes = models.PositiveIntegerField()
    key = models.CharField(max_length=200, unique=True)  # in the storage

    class Meta:
        ordering = ["upload", "offset"]
        constraints = [models.UniqueConstraint(fields=["upload", "offset"], name="artifact_piece_once")]

    def __str__(self) -> str:
        return f"{self.size_bytes} bytes from {self.offset}"
