"""What a job has left, for the page of its run."""

from collections.abc import Mapping
from typing import Any

from django import template

from jobs.selectors.model_files import ModelFiles, models_of_run
from tracking.models import Run

register = template.Library()


@register.simple_tag(takes_context=True)
def run_models(context: Mapping[str, Any], run: Run) -> list[ModelFiles]:
    """The run's models that the reader may see, with their files."""
    return models_of_run(user=context["request"].user, run=run)
