"""Reads of trained models."""

from django.db.models import Q, QuerySet

from automl_site.errors import NotFound
from jobs.models import TrainedModel
from tracking.models import User


def model_get(*, user: User, model_id: str) -> TrainedModel:
    """The model of that public id, not in the trash.

    Raises:
        NotFound: there is none, or the user may not see it.
    """
    model = (
        TrainedModel.objects.visible_to(user)
        .live()
        .select_related("job", "run", "dataset", "owner", "project")
        .filter(public_id=str(model_id).removeprefix("/models/"))
        .first()
    )
    if model is None:
        raise NotFound(f"Model '{str(model_id)[:100]}' not found")
    return model


def model_list(*, user: User, model_type: str = "", query: str = "", trashed: bool = False) -> QuerySet[TrainedModel]:
    """The models that `user` may see, newest first."""
    models = TrainedModel.objects.visible_to(user).select_related("owner", "dataset")
    models = models.filter(deleted_at__isnull=not trashed)
    if model_type:
        models = models.filter(model_type=model_type)
    if query:
        models = models.filter(
            Q(name__icontains=query) | Q(public_id__icontains=query) | Q(model_type__icontains=query)
        )
    return models.order_by("-pk")
