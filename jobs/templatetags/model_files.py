"""What a job has left, for the pages of its run and its model."""

from collections.abc import Mapping
from typing import Any

from django import template
from django.urls import reverse

from jobs.models import TrainedModel
from jobs.selectors.model_files import ModelFiles, models_of_run
from tracking.models import Run

register = template.Library()


@register.simple_tag(takes_context=True)
def run_models(context: Mapping[str, Any], run: Run) -> list[ModelFiles]:
    """The run's models that the reader may see, with their files."""
    return models_of_run(user=context["request"].user, run=run)


@register.filter
def sample_url(file: str, model: TrainedModel) -> str:
    """The address of a picture that the model's report names."""
    return reverse("model-sample", args=[model.public_id, file.rpartition("/")[2]])
