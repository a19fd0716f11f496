"""A dialect is how one contract words its errors: data, read by `problems` and by the documents.

`dialect_for(path)` finds the one whose prefix is the longest that fits, so that even a path that no view serves answers
in the words of the contract it stands under.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any

from django.utils.module_loading import import_string


@dataclass(frozen=True)
class Problem:
    """An error on its way out. `errors` maps a field's dotted path to sentences (strings; DRF's carry a `code`)."""

    code: str
    status: int
    message: str
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Dialect:
    """One contract's way to speak.

    `body` makes the JSON object of an error. `statuses` overrides `problems.STATUSES` for some codes. `open` says
    whether the contract's document asks for no authentication: in open mode its anonymous callers are the user `local`.
    """

    name: str
    title: str
    description: str
    prefixes: tuple[str, ...]
    body: Callable[[Problem], dict[str, Any]]
    open: bool
    statuses: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def covers(self, path: str) -> int:
        """The length of the longest of its prefixes that `path` stands under; 0 for none."""
        return max((len(p) for p in self.prefixes if path == p or path.startswith(f"{p}/")), default=0)


_DIALECTS = (
    "api.tracking.dialect.TRACKING",
    "api.automl.dialect.AUTOML",
    "api.job_queue.dialect.JOB_QUEUE",
    "api.metric_learning.dialect.METRIC_LEARNING",
    "api.llm_pipelines.dialect.LLM_PIPELINES",
)


@cache
def dialects() -> dict[str, Dialect]:
    """Every contract's dialect by its name, in the order of the documents."""
    found: list[Dialect] = [import_string(path) for path in _DIALECTS]
    return {dialect.name: dialect for dialect in found}


def dialect_for(path: str) -> Dialect | None:
    """The dialect spoken at `path`; None for pages."""
    best = max(dialects().values(), key=lambda dialect: dialect.covers(path))
    return best if best.covers(path) else None


def is_required(sentence: str) -> bool:
    """Whether the sentence says that a field was left out (DRF's messages carry codes)."""
    return getattr(sentence, "code", None) == "required"


def field_sentences(problem: Problem) -> list[str]:
    """Every complaint as a sentence that names its field: "model_type is required"."""
    sentences = []
    for name, complaints in problem.errors.items():
        for complaint in complaints:
            if is_required(complaint):
                sentences.append(f"{name} is required")
            elif name == "non_field_errors" or name in complaint:
                sentences.append(str(complaint))
            else:
                sentences.append(f"{name}: {complaint}")
    return sentences
