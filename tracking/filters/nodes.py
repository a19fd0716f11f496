"""The tree of a filter: what was asked, with every name resolved and every value of its field's type."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from tracking.filters.fields import Field


@dataclass(frozen=True, slots=True)
class Day:
    """A whole day, UTC: compared as a day, so that `=` means "on this day" and `>` "on a later one"."""

    date: date


@dataclass(frozen=True, slots=True)
class FromNow:
    """A moment relative to when the filter is asked: -7d."""

    offset: timedelta


Moment = Day | datetime | FromNow
# A duration is its seconds.
Value = str | bool | int | float | Moment


class Operator(StrEnum):
    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="


@dataclass(frozen=True, slots=True)
class Compare:
    field: Field
    operator: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class In:
    field: Field
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """`%` stands for any text, `_` for one character, a backslash makes either of them itself."""

    field: Field
    pattern: str


@dataclass(frozen=True, slots=True)
class Matches:
    """A regular expression of RE2 is found somewhere in the text."""

    field: Field
    pattern: str


@dataclass(frozen=True, slots=True)
class Has:
    field: Field
    value: str


@dataclass(frozen=True, slots=True)
class IsNull:
    """Nothing is there: no such key, null, an empty text, no tags, no number."""

    field: Field


@dataclass(frozen=True, slots=True)
class Not:
    operand: "Node"


@dataclass(frozen=True, slots=True)
class And:
    operands: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    operands: "tuple[Node, ...]"


Leaf = Compare | In | Like | Matches | Has | IsNull
Node = Leaf | Not | And | Or


def fields_of(node: Node | None) -> Iterator[Field]:
    """Every field that the filter names, in its order."""
    match node:
        case None:
            return
        case Not(operand):
            yield from fields_of(operand)
        case And(operands) | Or(operands):
            for operand in operands:
                yield from fields_of(operand)
        case _:
            yield node.field
