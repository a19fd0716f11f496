"""What a project's runs really use: config paths, metrics and tags, for completion and the choice of columns."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tracking.filters.completion import Known, quoted
from tracking.filters.fields import MAX_PARTS, is_nameable

if TYPE_CHECKING:
    from tracking.models import Project, User

# However large a project is, looking at it costs this much: its newest runs, until they have shown so many values, and
# so many series of theirs. (One config may have a megabyte: configs are read a few at a time.)
RUNS = 200
RUNS_AT_ONCE = 20
LEAVES = 50_000
SERIES = 20_000
PATHS = 500
METRICS = 500
TAGS = 500
VALUES = 20  # kept for each path
MAX_VALUE = 60  # characters of a text worth offering


def known_fields(*, user: "User", project: "Project") -> Known:
    """The names met in the project's newest runs, the most frequent first. Two queries."""
    from tracking.models import MetricSeries, Run

    newest = Run.objects.visible_to(user).filter(project=project, deleted_at__isnull=True).order_by("-pk")[:RUNS]
    paths: Counter[tuple[str, ...]] = Counter()
    values: dict[tuple[str, ...], Counter[str]] = {}
    tags: Counter[str] = Counter()
    keys = []
    leaves = 0
    for key, config, own_tags in newest.values_list("pk", "config", "tags").iterator(chunk_size=RUNS_AT_ONCE):
        keys.append(key)
        if leaves > LEAVES:
            break
        tags.update(tag for tag in own_tags if isinstance(tag, str))
        for path, value in _leaves(config if isinstance(config, dict) else {}):
            leaves += 1
            if path not in paths and len(paths) >= PATHS:
                continue
            paths[path] += 1
            if isinstance(value, str) and len(value) <= MAX_VALUE:
                values.setdefault(path, Counter())[quoted(value)] += 1
    series = MetricSeries.objects.filter(run_id__in=keys).order_by("-run_id").values_list("name", flat=True)[:SERIES]
    metrics = Counter(name for name in series if is_nameable(name))
    return Known(
        config=_by_frequency(paths),
        metrics=_by_frequency(metrics)[:METRICS],
        tags=_by_frequency(tags)[:TAGS],
        values={path: _by_frequency(found)[:VALUES] for path, found in values.items()},
    )


def _leaves(config: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in config.items():
        if not is_nameable(name):
            continue
        here = (*path, name)
        if isinstance(value, dict) and value and len(here) < MAX_PARTS:
            yield from _leaves(value, here)
        else:
            yield here, value


def _by_frequency(counter: Counter[Any]) -> list[Any]:
    """The most frequent first; in the order of their names where they are as frequent."""
    return sorted(counter, key=lambda name: (-counter[name], name))
