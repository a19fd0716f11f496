"""Reads of trained models."""

from django.db.models import Q, QuerySet

from automl_site.errors import NotFound
from jobs.models import TrainedModel
from tracking import text
from tracking.models import User


def model_get(*, user: User, model_id: str) -> TrainedModel:
    """The model of that public id or path (`/models/<id>`), not in the trash.

    Raises:
        NotFound: there is none, or the user may not see it.
    """
    public_id = str(model_id).removeprefix("/models/")
    models = TrainedModel.objects.visible_to(user).live()
    models = models.select_related("job", "run", "dataset", "owner", "project")
    model = models.filter(public_id=public_id).first() if text.is_storable(public_id) else None
    if model is None:
        raise NotFound(f"Model '{text.clean(str(model_id), limit=100)}' not found")
    return model


def model_list(*, user: User, model_type: str = "", query: str = "", trashed: bool = False) -> QuerySet[TrainedModel]:
    """The models that `user` may see, newest first. Without what only a model's own page shows."""
    models = TrainedModel.objects.visible_to(user).defer("report", "schema")
    models = models.filter(deleted_at__isnull=not trashed)
    if model_type:
        models = models.filter(model_type=model_type)
    if query:
        models = models.filter(
            Q(name__icontains=query) | Q(public_id__icontains=query) | Q(model_type__icontains=query)
        )
    return models.order_by("-pk")
