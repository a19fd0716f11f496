from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "jobs"
    verbose_name = "Jobs"

    def ready(self) -> None:
        from datasets_app import paths
        from tracking import holds

        paths.register_guard("models", _may_see_model)
        holds.register(_live_job)


def _may_see_model(user: Any, public_id: str) -> bool:
    from jobs.models import TrainedModel

    return TrainedModel.objects.visible_to(user).live().filter(public_id=public_id).exists()


def _live_job(run_ids: Sequence[int], project_ids: Sequence[int]) -> str:
    """Which job keeps the runs or projects from going."""
    from django.db.models import Q

    from jobs.models import Job

    # Whoever asks may change the run or project; that a job is in it is theirs to know.
    job = Job.objects.live().filter(Q(run__in=run_ids) | Q(project__in=project_ids)).first()
    return f"A job is {job.status} in it ({job.public_id}); cancel it first." if job else ""
