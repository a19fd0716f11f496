"""Reads of what runs were made with."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracking.models import Run


def environment_of(run: "Run") -> dict[str, Any]:
    """{"environment": {…}, "git": {…}}, empty where nothing was told. The caller has checked who may see the run."""
    from tracking.models import RunEnvironment

    kept = RunEnvironment.objects.filter(run_id=run.pk).values("environment", "git").first()
    return dict(kept) if kept else {"environment": {}, "git": {}}
