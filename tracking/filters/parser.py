"""Tokens -> tree, by recursive descent, one function a rule of the grammar (docs/filters.md).

filter     = or
or         = and { "or" and }
and        = not { "and" not }
not        = "not" not | "(" or ")" | condition
condition  = field comparison value | field ["not"] "in" list | field ["not"] "like" text
           | field ("~" | "!~" | ["not"] "matches") text | field ["not"] "has" text | field "is" ["not"] "null"
list       = "(" value { "," value } ")"
"""

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from tracking.filters import regex
from tracking.filters.errors import FilterError, Wanted, nearest
from tracking.filters.fields import Field, Type, resolve
from tracking.filters.nodes import (
    And,
    Compare,
    Day,
    FromNow,
    Has,
    In,
    IsNull,
    Leaf,
    Like,
    Matches,
    Moment,
    Node,
    Not,
    Operator,
    Or,
    Value,
)
from tracking.filters.tokens import Kind, Token, tokenize

MAX_DEPTH = 32
MAX_TERMS = 100
MAX_LIST = 200
MAX_REGEXES = 5  # each of them reads its field of all runs
YEARS = (1900, 2999)
LONGEST = timedelta(days=36_525)
INT64 = 2**63
STATUSES = ("pending", "running", "completed", "failed", "cancelled")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_COMPARISONS = {"=": Operator.EQ, "==": Operator.EQ} | {operator.value: operator for operator in Operator}

_EQUALITY = ("=", "!=")
_ORDER = ("=", "!=", "<", "<=", ">", ">=")
OPERATORS: dict[Type, tuple[str, ...]] = {
    Type.INTEGER: (*_ORDER, "in"),
    Type.TEXT: (*_ORDER, "in", "like", "~", "is null", "is not null"),
    Type.STATUS: (*_EQUALITY, "in", "like", "~"),
    Type.BOOLEAN: _EQUALITY,
    Type.TIME: (*_ORDER, "is null", "is not null"),
    Type.DURATION: (*_ORDER, "is null", "is not null"),
    Type.TAGS: ("has", "is null", "is not null"),
    Type.JSON: (*_ORDER, "in", "like", "~", "is null", "is not null"),
    Type.NUMBER: (*_ORDER, "in", "is null", "is not null"),
}


def parse(text: str) -> Node | None:
    """The tree of a filter; None for an empty one, which lets everything through.

    Raises:
        FilterError: what is wrong, at which character, and what was expected there.
    """
    return Parser(tokenize(text)).filter()


class Parser:
    """Reads one filter. After a FilterError, `wanted` and `field` say what was to come, of which field."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._terms = 0
        self._regexes = 0
        self.wanted = Wanted.CONDITION
        self.field: Field | None = None

    # --- The grammar ------------------------------------------------------------------------------------------------

    def filter(self) -> Node | None:
        if self._here.kind is Kind.END:
            return None
        tree = self._or(depth=0)
        self.wanted = Wanted.CONNECTIVE
        if self._here.kind is not Kind.END:
            problem = "This “)” closes nothing." if self._here.is_symbol(")") else self._surprise()
            raise self._error(problem, expected=Wanted.CONNECTIVE, near=self._near_word("and", "or"))
        return tree

    def _or(self, depth: int) -> Node:
        return self._chain("or", Or, lambda: self._and(depth))

    def _and(self, depth: int) -> Node:
        return self._chain("and", And, lambda: self._not(depth))

    def _chain(self, word: str, node: type[And] | type[Or], operand: Callable[[], Node]) -> Node:
        operands = [operand()]
        while self._take_keyword(word):
            operands.append(operand())
        return operands[0] if len(operands) == 1 else node(tuple(operands))

    def _not(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self._error(f"The filter is nested deeper than {MAX_DEPTH} levels.")
        self.wanted = Wanted.CONDITION
        if self._take_keyword("not"):
            return Not(self._not(depth + 1))
        if self._here.is_symbol("("):
            opening = self._take()
            inner = self._or(depth + 1)
            self.wanted = Wanted.CONNECTIVE
            if not self._here.is_symbol(")"):
                problem = f"The “(” at character {opening.start + 1} is not closed."
                raise self._error(problem, expected="“and”, “or” or “)”", near=self._near_word("and", "or"))
            self._take()
            return inner
        return self._condition()

    def _condition(self) -> Node:
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise self._error(f"The filter has more than {MAX_TERMS} conditions.")
        field = self.field = resolve(self._here)
        self._take()
        self.wanted = Wanted.OPERATOR
        operator, negated = self._operator(field)
        leaf = self._leaf(field, operator)
        return Not(leaf) if negated else leaf

    def _operator(self, field: Field) -> tuple[Token, bool]:
        """The operator's token, and whether a "not" (or "!") stands with it. The field's type must take it."""
        negated = self._take_keyword("not")
        token = self._here
        word = token.text.lower()
        known = (
            token.is_keyword("in", "like", "matches", "has")
            or (token.is_symbol("~", "!~", *_COMPARISONS) or token.is_keyword("is"))
            and not negated
        )
        allowed = OPERATORS[field.type]
        if not known:
            near = nearest(word, [name for name in allowed if name.isalpha()]) if token.kind is Kind.PATH else ""
            raise self._error(self._surprise(), expected=f"after {field.text} one of {', '.join(allowed)}", near=near)
        canonical = {"==": "=", "!~": "~", "matches": "~", "is": "is null"}.get(word, word)
        if canonical not in allowed:
            raise self._error(
                f"{field.text} is {field.type}: “{token.text}” does not apply.", expected=", ".join(allowed)
            )
        self._take()
        return token, negated or word == "!~"

    def _leaf(self, field: Field, operator: Token) -> Node:
        if operator.text in _COMPARISONS:
            return Compare(field, _COMPARISONS[operator.text], self._value(field))
        if operator.is_keyword("is"):
            return self._is_null(field)
        if operator.is_keyword("in"):
            return In(field, self._list(field))
        token, text = self._here, self._text()
        if operator.is_keyword("has"):
            return Has(field, text)
        if operator.is_keyword("like"):
            return Like(field, text)
        return self._regex(field, token, text)

    def _is_null(self, field: Field) -> Node:
        self.wanted = Wanted.NULL
        negated = self._take_keyword("not")
        if not self._take_keyword("null"):
            raise self._error(self._surprise(), expected=Wanted.NULL)
        leaf: Leaf = IsNull(field)
        return Not(leaf) if negated else leaf

    def _list(self, field: Field) -> tuple[Value, ...]:
        self.wanted = Wanted.LIST
        if not self._here.is_symbol("("):
            raise self._error(self._surprise(), expected="a list, e.g. (0.1, 0.01)")
        self._take()
        values = [self._value(field, wanted=Wanted.LIST_VALUE)]
        while self._here.is_symbol(","):
            self._take()
            values.append(self._value(field, wanted=Wanted.LIST_VALUE))
            if len(values) > MAX_LIST:
                raise self._error(f"A list has at most {MAX_LIST} values.")
        if not self._here.is_symbol(")"):
            raise self._error(self._surprise(), expected="“,” or “)”")
        self._take()
        return tuple(values)

    def _regex(self, field: Field, token: Token, pattern: str) -> Matches:
        self._regexes += 1
        if self._regexes > MAX_REGEXES:
            raise self._error(f"A filter has at most {MAX_REGEXES} regular expressions.", at=token)
        try:
            regex.compile_pattern(pattern)
        except ValueError as error:
            raise self._error(f"This is no regular expression of RE2: {error}.", at=token) from None
        return Matches(field, pattern)

    # --- Values, by the type of their field ---------------------------------------------------------------------------

    def _value(self, field: Field, wanted: Wanted = Wanted.VALUE) -> Value:
        self.wanted = wanted
        token = self._here
        if token.is_keyword("null"):
            raise self._error("Nothing equals null.", expected=f"{field.text} is null")
        readers: dict[Type, Callable[[], Value]] = {
            Type.INTEGER: self._integer,
            Type.TEXT: self._text,
            Type.STATUS: self._status,
            Type.BOOLEAN: self._boolean,
            Type.TIME: self._time,
            Type.DURATION: self._seconds,
            Type.TAGS: self._text,
            Type.JSON: self._scalar,
            Type.NUMBER: self._number,
        }
        return readers[field.type]()

    def _text(self) -> str:
        self.wanted = self.wanted if self.wanted is Wanted.LIST_VALUE else Wanted.VALUE
        token = self._here
        if token.kind is Kind.STRING:
            return self._take().value
        if token.kind is Kind.PATH:  # a single word does without quotes: status = running
            return self._take().text
        raise self._error(self._surprise(), expected="text in quotes")

    def _status(self) -> str:
        token, text = self._here, self._text()
        if text not in STATUSES:
            near = nearest(text, STATUSES)
            expected = "" if near else f"one of {', '.join(STATUSES)}"
            raise self._error(f"There is no status “{text}”.", expected=expected, near=near, at=token)
        return text

    def _boolean(self) -> bool:
        if self._here.is_keyword("true", "false"):
            return self._take().text.lower() == "true"
        raise self._error(self._surprise(), expected="true or false")

    def _integer(self) -> int:
        token, number = self._here, self._number()
        if not (isinstance(number, int) and -INT64 <= number < INT64):
            raise self._error("This is no whole number of 64 bits.", at=token)
        return number

    def _number(self) -> int | float:
        token = self._here
        if token.kind is not Kind.NUMBER:
            raise self._error(self._surprise(), expected="a number")
        self._take()
        whole = token.text.lstrip("+-").isdecimal() and len(token.text) < 20
        number = int(token.text) if whole else float(token.text)
        if not math.isfinite(number):
            raise self._error("This number is too large.", at=token)
        return number

    def _scalar(self) -> Value:
        token = self._here
        if token.kind is Kind.NUMBER:
            return self._number()
        if token.is_keyword("true", "false"):
            return self._boolean()
        if token.kind in (Kind.STRING, Kind.PATH):
            return self._text()
        raise self._error(self._surprise(), expected="a number, a text in quotes, true or false")

    def _seconds(self) -> float:
        token = self._here
        if token.kind is Kind.NUMBER:
            return float(self._number())
        if token.kind is not Kind.DURATION:
            raise self._error(self._surprise(), expected="a duration, e.g. 90s, 1.5h or a number of seconds")
        self._take()
        return float(token.text[:-1]) * _SECONDS[token.text[-1]]

    def _time(self) -> Moment:
        token = self._here
        if token.is_keyword("now"):
            self._take()
            return FromNow(timedelta())
        if token.kind is Kind.DURATION:
            seconds = self._seconds()
            if abs(seconds) > LONGEST.total_seconds():
                raise self._error("This is more than a hundred years away.", at=token)
            return FromNow(timedelta(seconds=seconds))
        if token.kind not in (Kind.TIME, Kind.STRING):
            raise self._error(self._surprise(), expected="a time, e.g. 2026-11-21, 2026-11-21T06:40 or -7d")
        self._take()
        return self._moment(token, token.value if token.kind is Kind.STRING else token.text)

    def _moment(self, token: Token, text: str) -> Moment:
        try:
            if len(text) == len("2026-11-21"):
                day = date.fromisoformat(text)
                moment: Day | datetime = Day(day)
                year = day.year
            else:
                time = datetime.fromisoformat(text.upper().replace(" ", "T"))
                year = time.year
                moment = (time if time.tzinfo else time.replace(tzinfo=UTC)) if YEARS[0] < year < YEARS[1] else time
        except ValueError:
            raise self._error(
                f"“{text[:40]}” is no time.", expected="e.g. 2026-11-21 or 2026-11-21T06:40", at=token
            ) from None
        if not YEARS[0] < year < YEARS[1]:
            raise self._error(f"A year lies between {YEARS[0]} and {YEARS[1]}.", at=token)
        return moment

    # --- Tokens and errors --------------------------------------------------------------------------------------------

    @property
    def _here(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _take_keyword(self, word: str) -> bool:
        if self._here.is_keyword(word):
            self._take()
            return True
        return False

    def _surprise(self) -> str:
        return (
            "The filter ends too early." if self._here.kind is Kind.END else f"“{self._here.text[:40]}” is unexpected."
        )

    def _near_word(self, *words: str) -> str:
        return nearest(self._here.text, words) if self._here.kind is Kind.PATH else ""

    def _error(self, problem: str, *, expected: str = "", near: str = "", at: Token | None = None) -> FilterError:
        token = at or self._here
        return FilterError(
            problem, position=token.start, length=max(len(token.text), 1), expected=expected, nearest=near
        )
