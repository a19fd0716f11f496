"""Reads of the files of runs."""

from typing import TYPE_CHECKING

from automl_site.errors import NotFound

if TYPE_CHECKING:
    from tracking.models import Artifact, Run
    from tracking.querysets import RunScopedQuerySet


def artifact_list(*, run: "Run", prefix: str = "") -> "RunScopedQuerySet":
    """The latest versions of the run's files whose paths begin with `prefix`, by path, with their blobs.

    The caller has checked who may see the run.
    """
    from tracking.models import Artifact

    files = Artifact.objects.filter(run_id=run.pk, is_latest=True).select_related("blob").order_by("path")
    return files.filter(path__startswith=prefix) if prefix else files


def artifact_get(*, run: "Run", path: str, version: int | None = None) -> "Artifact":
    """The file at `path`, the latest version or that one, with its blob. Raises NotFound."""
    from tracking.models import Artifact

    files = Artifact.objects.filter(run_id=run.pk, path=path).select_related("blob")
    file = files.filter(is_latest=True).first() if version is None else files.filter(version=version).first()
    if file is None:
        raise NotFound("The run has no such file.")
    return file
