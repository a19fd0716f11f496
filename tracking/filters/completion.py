"""What may stand at the caret: fields of this project, operators of the field's type, values, `and` and `or`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tracking.filters.errors import FilterError, Wanted
from tracking.filters.fields import RUN_FIELDS, STATISTICS, Field, Source, Type, config_field, metric_field
from tracking.filters.parser import OPERATORS, STATUSES, Parser
from tracking.filters.tokens import Kind, Token, tokenize

MAX_SUGGESTIONS = 50
_TIMES = ("-1h", "-24h", "-7d", "-30d", "now")
_DURATIONS = ("10m", "1h", "24h")


@dataclass(frozen=True, slots=True)
class Known:
    """What a project's runs really use. `values` are the texts met at a config's path, most frequent first."""

    config: Sequence[tuple[str, ...]] = ()
    metrics: Sequence[str] = ()
    tags: Sequence[str] = ()
    values: dict[tuple[str, ...], Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`text` replaces what stands between a completion's start and end; `detail` says what it is."""

    text: str
    detail: str


@dataclass(frozen=True, slots=True)
class Completion:
    start: int
    end: int
    suggestions: list[Suggestion]


def complete(text: str, caret: int, known: Known) -> Completion:
    """The suggestions for the word at the caret, or for the next one. Nothing where the text before makes no sense."""
    caret = max(0, min(caret, len(text)))
    start = _word_start(text[:caret])
    word = text[start:caret]
    wanted, asked = _wanted(text[:start])
    offered = _offered(wanted, asked, known, word)
    found = [suggestion for suggestion in offered if _fits(suggestion.text, word)]
    # What begins like the word comes before what merely contains it.
    found.sort(key=lambda suggestion: not _plain(suggestion.text).startswith(_plain(word)))
    return Completion(start, caret, found[:MAX_SUGGESTIONS])


def _word_start(before: str) -> int:
    """Where the word begins that ends at the caret; the caret itself after a space or a sign."""
    try:
        tokens = tokenize(before)
    except FilterError as error:  # a text whose quote is not closed yet, or a number half typed
        return error.position
    last: Token | None = tokens[-2] if len(tokens) > 1 else None
    if last is None or last.end < len(before) or last.kind in (Kind.SYMBOL, Kind.STRING):
        return len(before)
    return last.start


def _wanted(before: str) -> tuple[Wanted | None, Field | None]:
    """What the grammar expects after `before`."""
    try:
        parser = Parser(tokenize(before))
    except FilterError:
        return None, None
    try:
        parser.filter()
    except FilterError as error:
        if error.position < len(before):
            return None, None
    return parser.wanted, parser.field


def _offered(wanted: Wanted | None, asked: Field | None, known: Known, word: str) -> Iterable[Suggestion]:
    if wanted is Wanted.CONDITION:
        return _fields(known, word)
    if wanted is Wanted.CONNECTIVE:
        return [Suggestion("and", "both"), Suggestion("or", "either")]
    if wanted is Wanted.LIST:
        return [Suggestion("(", "a list")]
    if wanted is Wanted.NULL:
        return [Suggestion("null", "nothing there"), Suggestion("not null", "something there")]
    if wanted is None or asked is None:
        return []
    if wanted is Wanted.OPERATOR:
        return [Suggestion(operator, _MEANINGS[operator]) for operator in OPERATORS[asked.type]]
    return _values(asked, known)


_MEANINGS = {
    "=": "equals",
    "!=": "is there, and differs",
    "<": "less",
    "<=": "at most",
    ">": "greater",
    ">=": "at least",
    "in": "one of a list",
    "like": "% any text, _ one character",
    "~": "regular expression",
    "has": "has the tag",
    "is null": "nothing there",
    "is not null": "something there",
}


def _fields(known: Known, word: str) -> Iterable[Suggestion]:
    yield from (Suggestion(metric_field(name).text.rpartition(".")[0], "metric, last value") for name in known.metrics)
    yield from (Suggestion(config_field(*path).text, "config") for path in known.config)
    yield from (Suggestion(name, str(kind)) for name, kind in RUN_FIELDS.items())
    # A metric's other statistics when its name is there already: they would be seven times the list otherwise.
    if word.lower().startswith(f"{Source.METRICS}."):
        for name in known.metrics:
            base = metric_field(name).text.rpartition(".")[0]
            if _plain(word).startswith(_plain(base)):
                yield from (Suggestion(f"{base}.{statistic}", "metric") for statistic in STATISTICS)
    if not word:
        yield from (Suggestion("not", "the opposite"), Suggestion("(", "a group"))


def _values(asked: Field, known: Known) -> Iterable[Suggestion]:
    if asked.type is Type.STATUS:
        return [Suggestion(status, "status") for status in STATUSES]
    if asked.type is Type.TAGS:
        return [Suggestion(quoted(tag), "tag") for tag in known.tags]
    if asked.type is Type.BOOLEAN:
        return [Suggestion("true", ""), Suggestion("false", "")]
    if asked.type is Type.TIME:
        return [Suggestion(text, "before now" if text != "now" else "the present") for text in _TIMES]
    if asked.type is Type.DURATION:
        return [Suggestion(text, "duration") for text in _DURATIONS]
    if asked.source is Source.CONFIG:
        return [Suggestion(text, "used here") for text in known.values.get(asked.path, ())]
    return []


def quoted(text: str) -> str:
    """A text as the language writes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _plain(text: str) -> str:
    return text.lower().replace('"', "").replace("'", "")


def _fits(offered: str, word: str) -> bool:
    return _plain(word) in _plain(offered) and (offered != word or not word)
