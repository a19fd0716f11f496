"""Names of a filter that read well, and that no run has: a typing mistake that is no mistake of grammar."""

from tracking.filters.completion import Known
from tracking.filters.errors import nearest
from tracking.filters.fields import Source, config_field, metric_field
from tracking.filters.nodes import fields_of
from tracking.filters.parser import parse


def unknown_names(text: str, known: Known) -> list[tuple[str, str]]:
    """(name, the nearest one that is there, or "") of each config path or metric that is not among the known ones.

    Raises:
        FilterError: the filter cannot be read.
    """
    paths = {config_field(*path).text for path in known.config}
    metrics = {name: metric_field(name).text.rpartition(".")[0] for name in known.metrics}
    found: dict[str, str] = {}
    for field in fields_of(parse(text)):
        if field.source is Source.METRICS and field.name not in metrics:
            near = nearest(field.name, list(metrics))
            found[metric_field(field.name).text.rpartition(".")[0]] = metrics.get(near, "")
        elif field.source is Source.CONFIG and not any(_within(field.text, path) for path in paths):
            found[field.text] = nearest(field.text, list(paths))
    return list(found.items())


def _within(name: str, path: str) -> bool:
    """Whether `name` is that path, or leads to it."""
    return path == name or path.startswith(f"{name}.")
