"""What jobs have in a project, for the app that owns projects and knows no jobs (`tracking.holds`)."""

import logging
from collections.abc import Sequence
from functools import partial

from django.db import transaction
from django.db.models import Q

from automl_site.errors import StorageError
from datasets_app.storage import get_storage
from jobs.models import Job, TrainedModel

logger = logging.getLogger(__name__)


def live_job(run_ids: Sequence[int], project_ids: Sequence[int]) -> str:
    """Which job keeps these runs and projects from going; "" when there is none."""
    # Whoever asks may change the run or project: that a job is in it is theirs to know.
    job = Job.objects.live().filter(Q(run__in=run_ids) | Q(project__in=project_ids)).first()
    return f"A job is {job.status} in it ({job.public_id}); cancel it first." if job else ""


def clear_models(project_id: int) -> None:
    """Delete the files of the project's trained models once the transaction that removes their rows has committed."""
    models = list(TrainedModel.objects.filter(project_id=project_id).values_list("public_id", flat=True))
    if models:
        transaction.on_commit(partial(_delete_folders, models))


def _delete_folders(model_ids: Sequence[str]) -> None:
    for model_id in model_ids:
        try:
            get_storage().delete_folder(f"models/{model_id}")
        except StorageError as error:
            # Their rows are gone: nobody can ask for them again, so an operator has to know of what is left.
            logger.error("The files of model %s stay in the storage, its project is gone: %s", model_id, error.message)
