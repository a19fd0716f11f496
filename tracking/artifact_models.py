"""Files of runs. Their bytes lie in the storage, which `jobs.services.artifacts` writes."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from tracking.querysets import ArtifactQuerySet, ProjectScopedQuerySet


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
