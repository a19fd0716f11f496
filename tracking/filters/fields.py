"""What a filter, a column or a sort order may name: a run's own fields, its config by path, its metrics by summary."""

import re
from dataclasses import dataclass
from enum import StrEnum

from tracking.filters.errors import FilterError, Wanted, nearest
from tracking.filters.tokens import Kind, Token, tokenize


class Type(StrEnum):
    INTEGER = "a whole number"
    TEXT = "text"
    STATUS = "a status"
    BOOLEAN = "true or false"
    TIME = "a time"
    DURATION = "a duration"
    TAGS = "tags"
    JSON = "a number, a text, true or false"
    NUMBER = "a number"


class Source(StrEnum):
    RUN = "run"
    CONFIG = "config"
    METRICS = "metrics"


RUN_FIELDS = {
    "id": Type.INTEGER,
    "name": Type.TEXT,
    "status": Type.STATUS,
    "notes": Type.TEXT,
    "tags": Type.TAGS,
    "archived": Type.BOOLEAN,
    "started_at": Type.TIME,
    "ended_at": Type.TIME,
    "created_at": Type.TIME,
    "duration": Type.DURATION,
}
# Of a metric's running summary. `best` is the lowest or the highest, as the metric's name lets one guess.
STATISTICS = ("last", "min", "max", "mean", "best", "count", "nan_count")
DEFAULT_STATISTIC = "last"
_LOWER_IS_BETTER = re.compile(
    r"loss|err|mae|mse|rmse|mape|perplexity|ppl|wer|cer|fid|nll|time|latency|duration|deviance|regret", re.IGNORECASE
)
MAX_PARTS = 16
MAX_NAME = 250  # of a metric
_EXAMPLES: dict[str, str] = {
    Source.CONFIG: "a name, e.g. config.lr",
    Source.METRICS: "a name, e.g. metrics.val_loss.min",
}
_PLAIN_PART = re.compile(r"[\w/@:-]+")


@dataclass(frozen=True, slots=True)
class Field:
    """`path` is a config's keys, or a metric's name alone; `statistic` is of metrics only."""

    source: Source
    type: Type
    path: tuple[str, ...]
    statistic: str = ""

    @property
    def name(self) -> str:
        """A run's own field's or a metric's name."""
        return self.path[0]

    @property
    def text(self) -> str:
        """The field as the language writes it: `metrics."train loss".min`. `parse_field` reads it back."""
        if self.source is Source.RUN:
            return self.name
        parts = [_quoted(part) for part in self.path]
        if self.source is Source.METRICS:
            parts.append(self.statistic)
        return ".".join([self.source, *parts])

    @property
    def label(self) -> str:
        """For a column's header: `train loss (min)`, `optimizer.lr`, `Started`."""
        if self.source is Source.RUN:
            return self.name.removesuffix("_at").capitalize()
        if self.source is Source.METRICS:
            return f"{self.name} ({self.statistic})" if self.statistic != DEFAULT_STATISTIC else self.name
        return ".".join(self.path)


def best_statistic(metric: str) -> str:
    """Whether a metric of that name is best at its "min" or its "max"; no name tells for sure."""
    return "min" if _LOWER_IS_BETTER.search(metric) else "max"


def config_field(*path: str) -> Field:
    return Field(Source.CONFIG, Type.JSON, path)


def metric_field(name: str, statistic: str = DEFAULT_STATISTIC) -> Field:
    return Field(Source.METRICS, Type.NUMBER, (name,), statistic)


def run_field(name: str) -> Field:
    return Field(Source.RUN, RUN_FIELDS[name], (name,))


def is_nameable(part: str) -> bool:
    """Whether the language can name such a key or metric. (A path of SQLite's JSON functions cannot hold a quote.)"""
    return bool(part) and '"' not in part and len(part) <= MAX_NAME


def parse_field(text: str) -> Field:
    """The one field that `text` names.

    Raises:
        FilterError: it names none, or there is more than a name.
    """
    tokens = tokenize(text)
    if len(tokens) != 2:  # the name, and the end
        raise FilterError("This is not one field's name.", position=0, length=len(text))
    return resolve(tokens[0])


def resolve(token: Token) -> Field:
    """The field of a path.

    Raises:
        FilterError: there is no field of that name.
    """
    if token.kind is not Kind.PATH:
        found = "The filter ends here." if token.kind is Kind.END else f"“{token.text}” is no field."
        raise FilterError(found, position=token.start, length=len(token.text), expected=_expected(token))
    first, *rest = token.parts
    source = first[0].lower()
    if source in RUN_FIELDS and not rest:
        return run_field(source)
    if source in (Source.CONFIG, Source.METRICS) and rest:
        _check_parts(token)
        return config_field(*(part for part, _ in rest)) if source == Source.CONFIG else _metric(token)
    if source in _EXAMPLES:
        raise FilterError(
            f"“{source}” alone is no field.", position=token.start, length=len(token.text), expected=_EXAMPLES[source]
        )
    names = [*RUN_FIELDS, "config.…", "metrics.…"]
    raise FilterError(
        f"There is no field “{token.text}”.",
        position=token.start,
        length=len(token.text),
        expected="" if (near := _nearest(token)) else f"one of {', '.join(names)}",
        nearest=near,
    )


def _expected(token: Token) -> str:
    return Wanted.CONDITION + ", e.g. status = running" if token.kind is Kind.END else "a field, e.g. config.lr"


def _nearest(token: Token) -> str:
    first, *rest = token.parts
    if not rest:
        return nearest(first[0], [*RUN_FIELDS, "config", "metrics"])
    source = nearest(first[0], (Source.CONFIG, Source.METRICS))
    return f"{source}{token.text[len(first[0]) :]}" if source and source != first[0] else ""


def _check_parts(token: Token) -> None:
    if len(token.parts) > MAX_PARTS:
        raise FilterError(f"A name has at most {MAX_PARTS} parts.", position=token.start, length=len(token.text))
    for part, _ in token.parts[1:]:
        if not is_nameable(part):
            problem = (
                "A part of this name is missing."
                if not part
                else f"A part of a name has at most {MAX_NAME} characters, and no double quote."
            )
            raise FilterError(problem, position=token.start, length=len(token.text))


def _metric(token: Token) -> Field:
    rest = token.parts[1:]
    last, quoted = rest[-1]
    statistic = DEFAULT_STATISTIC
    if len(rest) > 1 and not quoted and last.lower() in STATISTICS:
        statistic, rest = last.lower(), rest[:-1]
    name = ".".join(part for part, _ in rest)  # train.loss: a name with a point, written without quotes
    return metric_field(name, statistic)


def _quoted(part: str) -> str:
    plain = _PLAIN_PART.fullmatch(part) and part.lower() not in STATISTICS
    return part if plain else '"' + part.replace("\\", "\\\\") + '"'
