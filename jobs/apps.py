from typing import Any

from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "jobs"
    verbose_name = "Jobs"

    def ready(self) -> None:
        from datasets_app import paths
        from jobs.services import projects
        from tracking import holds

        paths.register_guard("models", _may_see_model)
        holds.register(projects.live_job)
        holds.register_clearing(projects.clear_models)
        holds.register_clearing(_clear_blobs)


def _may_see_model(user: Any, public_id: str) -> bool:
    from jobs.models import TrainedModel

    if not public_id.casefold().startswith(("model_", ".")):
        return True  # a base model that the operator put there, for all

    return TrainedModel.objects.visible_to(user).live().filter(public_id=public_id).exists()


def _clear_blobs(project_id: int) -> None:
    # Imported when it is needed: with it comes numpy, which most commands can do without.
    from jobs.services.artifacts import clear_blobs

    clear_blobs(project_id)
