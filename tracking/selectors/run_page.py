"""What a run's page shows beside its points: the config as a tree, the job that made it, what lies in the trash."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from automl_site.errors import NotFound
from tracking.filters.fields import MAX_PARTS, config_field, is_nameable

if TYPE_CHECKING:
    from tracking.models import Run, User

MAX_NODES = 2000  # of a config that a page shows; its JSON has all
MAX_DEPTH = 20
MAX_VALUE = 500  # characters of a value that a page shows


@dataclass
class ConfigNode:
    """A key of the config. `path` is how filters name it, "" where they cannot; `value` its JSON, cut at MAX_VALUE."""

    key: str
    path: str
    value: str = ""
    children: list["ConfigNode"] = field(default_factory=list)


@dataclass(frozen=True)
class JobLink:
    """The job that a run belongs to."""

    key: Any
    title: str


def config_tree(config: Any) -> tuple[list[ConfigNode], int]:
    """The config's first MAX_NODES keys as a tree, in their order, and how many were left out."""
    left = [MAX_NODES]
    left_out = [0]
    return _children(config if isinstance(config, dict) else {"config": config}, (), left, left_out), left_out[0]


def _children(config: Mapping[str, Any], path: tuple[str, ...], left: list[int], left_out: list[int]) -> list[Any]:
    nodes = []
    for key, value in config.items():
        if left[0] <= 0:
            left_out[0] += 1
            continue
        left[0] -= 1
        here = (*path, key)
        nameable = len(here) <= MAX_PARTS and all(is_nameable(part) for part in here)
        node = ConfigNode(key=key, path=config_field(*here).text if nameable else "")
        if isinstance(value, dict) and value and len(here) < MAX_DEPTH:
            node.children = _children(value, here, left, left_out)
        else:
            node.value = _shown(value)
        nodes.append(node)
    return nodes


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"


def job_of(*, run: "Run") -> JobLink | None:
    """The job that logs into the run; who sees the run sees it. None for a run logged from elsewhere."""
    from tracking.models import Run

    row = Run.objects.filter(pk=run.pk).values_list("job__pk", "job__description").first()
    return JobLink(key=row[0], title=row[1] or "") if row and row[0] is not None else None


def trashed_run(*, user: "User", run_id: int) -> "Run":
    """A run in the trash that the user may restore. Raises NotFound."""
    from tracking.models import Run

    run = Run.objects.trashed().changeable_by(user).select_related("project").filter(pk=run_id).first()
    if run is None:
        raise NotFound()
    return run


def may_change(*, user: "User", run: "Run") -> bool:
    """Whether the user may log into the run and edit it."""
    from tracking.models import Run

    return Run.objects.changeable_by(user).filter(pk=run.pk).exists()
