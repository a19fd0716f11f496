"""Tree -> conditions and values of the ORM, for querysets of runs.

A condition on a value that is not there is false, and its `not` is true. In SQL it would be NULL, and so would its NOT:
`and` and `or` take NULL for false anyway, so only `not` needs a CASE that says so.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.db.models import (
    BooleanField,
    Case,
    Exists,
    ExpressionWrapper,
    F,
    FloatField,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Coalesce
from django.db.models.lookups import Exact, GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual
from django.db.models.lookups import In as IsIn
from django.utils import timezone

from tracking.filters import expressions as json_values
from tracking.filters import nodes
from tracking.filters.expressions import ByCodePoint, HasTag, IsEmptyList, IsLike, OneOf, Seconds
from tracking.filters.fields import Field, Source, Type, best_statistic
from tracking.filters.nodes import And, Compare, Day, FromNow, Has, In, IsNull, Like, Matches, Node, Not, Operator, Or
from tracking.filters.regex import compile_pattern
from tracking.models import MetricSeries, Run

READ_AT_ONCE = 2000  # values a regular expression looks at
_LOOKUPS: dict[Operator, Any] = {
    Operator.EQ: Exact,
    Operator.LT: LessThan,
    Operator.LE: LessThanOrEqual,
    Operator.GT: GreaterThan,
    Operator.GE: GreaterThanOrEqual,
}
_DAY = timedelta(days=1)


def condition(tree: Node | None, *, runs: "QuerySet[Run]", now: datetime | None = None) -> Q:
    """The condition that a filter stands for; everything if there is none.

    `runs` are those that it will be put to: a regular expression reads their field here, once, because neither
    database has an engine whose time is bounded. `now` is what relative times count from.
    """
    return Q() if tree is None else _Conditions(runs, now or timezone.now()).of(tree)


def value_of(field: Field, *, now: datetime | None = None) -> Combinable:
    """The value of a run's own field, or of its config's (as a number); of a metric, see `statistic`."""
    if field.source is Source.CONFIG:
        return json_values.JsonNumber("config", field.path)
    if field.type is Type.DURATION:
        return Seconds(Coalesce(F("ended_at"), Value(now or timezone.now())), F("started_at"))
    if field.type is Type.BOOLEAN:
        return Case(When(archived_at__isnull=False, then=True), default=False, output_field=BooleanField())
    return ByCodePoint(F(field.name)) if field.type in (Type.TEXT, Type.STATUS) else F(field.name)


def statistic(field: Field, row: str = "") -> Combinable:
    """A metric's number, of its row of `MetricSeries`; NULL where there is none (NaN is none).

    `row`: the row's name in the query and two underscores, where it is joined and not asked for by itself.
    """
    name = best_statistic(field.name) if field.statistic == "best" else field.statistic
    if name == "mean":
        mean = ExpressionWrapper(F(f"{row}sum_value") / F(f"{row}number_count"), output_field=FloatField())
        return Case(When(**{f"{row}number_count__gt": 0}, then=mean), output_field=FloatField())
    if name in ("count", "nan_count"):
        return Cast(f"{row}{name}", FloatField())
    return F(f"{row}{name}_value")


@dataclass
class _Conditions:
    runs: "QuerySet[Run]"
    now: datetime

    def of(self, node: Node) -> Q:
        match node:
            case And(operands):
                return Q(*map(self.of, operands))
            case Or(operands):
                return Q(*map(self.of, operands), _connector=Q.OR)
            case Not(operand):
                return _negated(self.of(operand))
            case Matches():
                return self._matches(node)
        if node.field.source is Source.RUN:
            return self._of_run(node)
        return self._of_config(node) if node.field.source is Source.CONFIG else self._of_metric(node)

    # --- A run's own fields -------------------------------------------------------------------------------------------

    def _of_run(self, node: nodes.Leaf) -> Q:
        kind, value = node.field.type, value_of(node.field, now=self.now)
        match node:
            case Has(value=tag):
                return Q(HasTag("tags", tag))
            case IsNull() if kind is Type.TAGS:
                return Q(IsEmptyList(F("tags")))
            case IsNull() if kind is Type.TEXT:
                return Q((node.field.name, ""))
            case IsNull() if kind is Type.DURATION:
                return Q(started_at__isnull=True)
            case IsNull():
                return Q((f"{node.field.name}__isnull", True))
            case Like(pattern=pattern):
                return Q(IsLike(value, pattern))
            case Compare(value=nodes.Day() | nodes.FromNow() | datetime()):
                return self._at(node.field.name, node.operator, node.value)
        return _compared(value, node)

    def _at(self, name: str, asked: Operator, moment: Any) -> Q:
        if not isinstance(moment, Day):
            exact = self.now + moment.offset if isinstance(moment, FromNow) else moment
            return _compared(F(name), Compare(Field(Source.RUN, Type.TIME, (name,)), asked, exact))
        begin = datetime.combine(moment.date, time(), tzinfo=UTC)
        end = begin + _DAY
        on_the_day = Q((f"{name}__gte", begin), (f"{name}__lt", end))
        return {
            Operator.EQ: on_the_day,
            Operator.NE: Q((f"{name}__lt", begin)) | Q((f"{name}__gte", end)),
            Operator.LT: Q((f"{name}__lt", begin)),
            Operator.LE: Q((f"{name}__lt", end)),
            Operator.GT: Q((f"{name}__gte", end)),
            Operator.GE: Q((f"{name}__gte", begin)),
        }[asked]

    # --- Config -------------------------------------------------------------------------------------------------------

    def _of_config(self, node: nodes.Leaf) -> Q:
        present = Q(json_values.JsonPresent("config", node.field.path))
        match node:
            case IsNull():
                return _negated(present)
            case Like(pattern=pattern):
                return Q(IsLike(json_values.JsonText("config", node.field.path), pattern))
            case In(values=values):
                return Q(*(self._config_equals(node.field, value) for value in values), _connector=Q.OR)
            case Compare(operator=Operator.NE, value=value):
                return present & _negated(self._config_equals(node.field, value))
            case Compare(value=value):
                expression, typed = _typed(node.field, value)
                return Q(_LOOKUPS[node.operator](expression, typed))
        raise AssertionError(f"no condition of a config: {node}")

    def _config_equals(self, name: Field, value: Any) -> Q:
        expression, typed = _typed(name, value)
        return Q(Exact(expression, typed))

    # --- Metrics ------------------------------------------------------------------------------------------------------

    def _of_metric(self, node: nodes.Leaf) -> Q:
        series = MetricSeries.objects.filter(run=OuterRef("pk"), name=node.field.name)
        series = series.alias(number=statistic(node.field)).filter(number__isnull=False)
        if isinstance(node, IsNull):
            return _negated(Q(Exists(series)))
        return Q(Exists(series.filter(_compared(F("number"), node))))

    # --- Regular expressions ------------------------------------------------------------------------------------------

    def _matches(self, node: Matches) -> Q:
        found = compile_pattern(node.pattern)
        text: Any = F(node.field.name)
        if node.field.source is Source.CONFIG:
            text = json_values.JsonText("config", node.field.path)
        rows = self.runs.order_by().values_list("pk", text).iterator(chunk_size=READ_AT_ONCE)
        return Q(OneOf("pk", [pk for pk, value in rows if value is not None and found.search(value)]))


def _negated(q: Q) -> Q:
    return Q(Case(When(q, then=False), default=True, output_field=BooleanField()))


def _typed(name: Field, value: Any) -> tuple[Any, Any]:
    """The config's value of that value's type, and the value as the expression gives it."""
    if isinstance(value, bool):
        return json_values.JsonBoolean("config", name.path), int(value)
    if isinstance(value, str):
        return json_values.JsonText("config", name.path), value
    return json_values.JsonNumber("config", name.path), float(value)


def _compared(expression: Any, node: nodes.Leaf) -> Q:
    """A comparison, or `in`, with an expression of a fixed type."""
    match node:
        case In(values=values):
            return Q(IsIn(expression, list(values)))
        case Compare(operator=Operator.NE, value=value):
            return Q(LessThan(expression, value)) | Q(GreaterThan(expression, value))
        case Compare(value=value):
            return Q(_LOOKUPS[node.operator](expression, value))
    raise AssertionError(f"no comparison: {node}")
