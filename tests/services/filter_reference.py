"""The filter language once more, in plain Python: what the database's answers are held against."""

import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any

from tracking.filters.completion import quoted
from tracking.filters.fields import Field, Source, Type, best_statistic
from tracking.filters.like import ANY_CHARACTER, ANY_TEXT, pattern_parts
from tracking.filters.nodes import And, Compare, Day, FromNow, Has, In, IsNull, Like, Matches, Node, Not, Or

OPERATORS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
MISSING = object()


@dataclass
class Facts:
    """A run as plain values; `metrics` maps a name to its statistics (no entry, or None: no number)."""

    fields: Mapping[str, Any]
    config: Any
    metrics: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)


def holds(node: Node | None, run: Facts, *, now: datetime) -> bool:
    match node:
        case None:
            return True
        case And(operands):
            return all(holds(operand, run, now=now) for operand in operands)
        case Or(operands):
            return any(holds(operand, run, now=now) for operand in operands)
        case Not(operand):
            return not holds(operand, run, now=now)
    value = value_of(node.field, run, now=now)
    match node:
        case IsNull():
            return value is MISSING or node.field.source is Source.RUN and value in ("", [])
        case Has(value=tag):
            return value is not MISSING and tag in value
        case Like(pattern=pattern):
            return isinstance(value, str) and re.fullmatch(as_regex(pattern), value, re.DOTALL) is not None
        case Matches(pattern=pattern):
            return isinstance(value, str) and re.search(pattern, value) is not None
        case In(values=values):
            return any(compared("=", value, other) for other in values)
        case Compare(operator=asked, value=other):
            return at(asked, value, other, now) if isinstance(other, Day | FromNow) else compared(asked, value, other)
    raise AssertionError(node)


def value_of(name: Field, run: Facts, *, now: datetime) -> Any:
    if name.source is Source.METRICS:
        statistic = best_statistic(name.name) if name.statistic == "best" else name.statistic
        number = run.metrics.get(name.name, {}).get(statistic)
        return MISSING if number is None else number
    if name.source is Source.CONFIG:
        value = run.config
        for part in name.path:
            value = value.get(part, MISSING) if isinstance(value, dict) else MISSING
        return MISSING if value is None else value
    if name.type is Type.DURATION:
        return round(((run.fields["ended_at"] or now) - run.fields["started_at"]).total_seconds(), 3)
    value = run.fields[name.name]
    return MISSING if value is None else value


def compared(asked: str, value: Any, other: Any) -> bool:
    if value is MISSING:
        return False
    if kind(value) != kind(other):
        return asked == "!="
    if kind(value) == "number":
        value, other = float(value), float(other)
    return OPERATORS[asked](value, other)


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


def at(asked: str, value: Any, moment: Day | FromNow, now: datetime) -> bool:
    if value is MISSING:
        return False
    if isinstance(moment, FromNow):
        return OPERATORS[asked](value, now + moment.offset)
    begin = datetime.combine(moment.date, time(), tzinfo=UTC)
    day = (value - begin) // timedelta(days=1)
    return OPERATORS[asked](day, 0)


def as_regex(pattern: str) -> str:
    wildcards = {ANY_TEXT: ".*", ANY_CHARACTER: "."}
    return "".join(re.escape(part) if isinstance(part, str) else wildcards[part] for part in pattern_parts(pattern))


def written(node: Node) -> str:
    """The tree as a filter that reads as this tree."""
    match node:
        case And(operands):
            return " and ".join(f"({written(operand)})" for operand in operands)
        case Or(operands):
            return " or ".join(f"({written(operand)})" for operand in operands)
        case Not(operand):
            return f"not ({written(operand)})"
        case IsNull(name):
            return f"{name.text} is null"
        case Has(name, tag):
            return f"{name.text} has {quoted(tag)}"
        case Like(name, pattern):
            return f"{name.text} like {quoted(pattern)}"
        case Matches(name, pattern):
            return f"{name.text} ~ {quoted(pattern)}"
        case In(name, values):
            return f"{name.text} in ({', '.join(map(written_value, values))})"
        case Compare(name, asked, value):
            return f"{name.text} {asked} {written_value(value)}"
    raise AssertionError(node)


def written_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Day):
        return value.date.isoformat()
    if isinstance(value, FromNow):
        return f"{value.offset.total_seconds():.0f}s"
    return value.isoformat() if isinstance(value, datetime) else repr(value)
