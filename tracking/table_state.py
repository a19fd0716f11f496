"""The runs table's state, all of it in the address: filter, columns, order, group, which runs."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import urlencode

from tracking.filters.completion import Known
from tracking.filters.errors import FilterError
from tracking.filters.fields import Field, metric_field, parse_field, run_field
from tracking.filters.parser import parse
from tracking.selectors.run_groups import is_groupable
from tracking.selectors.run_table import MAX_COLUMNS, TableQuery

DEFAULT_COLUMNS = tuple(map(run_field, ("status", "started_at", "duration", "tags")))
DEFAULT_METRICS = 3
_MEASURES = re.compile(r"loss|acc|f1|auc|r2|score|err|precision|recall|perplexity|mae|mse", re.IGNORECASE)
_HELD_OUT = re.compile(r"val|test|eval", re.IGNORECASE)
MAX_FILTER = 5000  # characters kept of what was typed, so that the answer can say that it is too long


class Parameters(Protocol):
    """Of an address: Django's QueryDict."""

    def get(self, name: str, default: str, /) -> Any: ...
    def getlist(self, name: str) -> list[str]: ...


@dataclass(frozen=True)
class TableState:
    """`query.columns` are those that were chosen; empty: the default ones. `error`: why the filter cannot be read."""

    query: TableQuery
    group: Field | None = None
    error: FilterError | None = None
    page: str = ""
    unknown: list[str] = field(default_factory=list)

    def with_columns(self, known: Known) -> "TableState":
        """With the default columns where none were chosen: the state of the runs, and their most telling metrics."""
        if self.query.columns:
            return self
        telling = sorted(known.metrics, key=_tells_less)  # of those that tell as much, the most frequent
        metrics = (metric_field(name) for name in telling[:DEFAULT_METRICS])
        return replace(self, query=replace(self.query, columns=(*DEFAULT_COLUMNS, *metrics)))

    @property
    def error_parts(self) -> tuple[str, str, str]:
        """The filter before the place that cannot be read, that place, and what follows."""
        if self.error is None:
            return "", "", ""
        text, begin = self.query.filter, self.error.position
        end = begin + self.error.length
        return text[:begin], text[begin:end], text[end:]

    def address(self, **changes: Any) -> str:
        """The address's query, without the page: what a view keeps. `changes` replace parameters, None removes one."""
        query = self.query
        parameters: dict[str, Any] = {
            "filter": query.filter,
            "column": [column.text for column in query.columns],
            "sort": query.sort and f"{'-' if query.descending else ''}{query.sort.text}",
            "group": self.group and self.group.text,
            "archived": "1" if query.archived else "",
            "trash": "1" if query.trashed else "",
        } | changes
        return urlencode({name: value for name, value in parameters.items() if value}, doseq=True)


def _tells_less(metric: str) -> int:
    """0 for a measure of what was learnt, on data that was held out; 1 for another measure of it; 2 for the rest."""
    if not _MEASURES.search(metric):
        return 2
    return 0 if _HELD_OUT.search(metric) else 1


def read_state(given: Parameters) -> TableState:
    """What an address asks for; names in it that mean nothing are listed in `unknown`, and left out."""
    text = given.get("filter", "")[:MAX_FILTER]
    unknown: list[str] = []
    columns = tuple(_fields(given.getlist("column"), unknown))[:MAX_COLUMNS]
    sort = given.get("sort", "")
    group = next(_fields([given.get("group", "")], unknown), None)
    if group is not None and not is_groupable(group):
        unknown.append(group.text)
        group = None
    query = TableQuery(
        filter=text,
        columns=columns,
        sort=next(_fields([sort.removeprefix("-")], unknown), None),
        descending=sort.startswith("-"),
        archived=given.get("archived", "") == "1",
        trashed=given.get("trash", "") == "1",
    )
    error = None
    try:
        parse(text)
    except FilterError as problem:
        error = problem
    return TableState(query, group, error, given.get("page", ""), unknown)


def _fields(names: Iterable[str], unknown: list[str]) -> Iterator[Field]:
    found: set[Field] = set()
    for name in names:
        if not name:
            continue
        try:
            field = parse_field(name)
        except FilterError:
            unknown.append(name[:100])
            continue
        if field not in found:
            found.add(field)
            yield field
