"""What the database finds by a filter is what plain Python finds, on random runs of odd values."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import examples
from tests.services.filter_reference import Facts, holds, written
from tracking.filters.fields import STATISTICS, config_field, metric_field, run_field
from tracking.filters.nodes import And, Compare, Day, FromNow, Has, In, IsNull, Like, Matches, Node, Not, Operator, Or
from tracking.filters.parser import STATUSES, parse
from tracking.filters.queries import condition
from tracking.models import MetricSeries, Project, Run, User

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
WORDS = [
    "",
    "adam",
    "Adam",
    "sgd",
    "1",
    "true",
    "null",
    "a%b",
    "a_b",
    "axb",
    "é",
    "z",
    "中",
    "a\\b",
    "[a]",
    "a*",
    "it's",
]
NUMBERS = [0, -0.0, 1, 1.0, 0.1, 0.3, 0.1 + 0.2, -3, 1e-300, 1e300, 2**53 + 1, 2**63, 2**64 - 1, -(2**63), 5e-324]
ODD_VALUES: list[Any] = [None, True, False, [], [1], {}, {"lr": 1}, *WORDS, *NUMBERS]
KEYS = ["lr", "model.name", "a b", "ü", "0", "$x", "back\\slash", "[0]", "it's"]
METRICS = ["val_loss", "acc", "train/loss", "odd name", "a.b", "min"]
TAGS = ["baseline", "Baseline", "b", 'quo"te', "é", "a%"]
PATTERNS = ["", "%", "a%", "%b", "a_b", "a\\%b", "_", "%a%b%", "[a]", "a*", "a\\\\b", "中", "A%"]
REGEXES = ["a", "^a.b$", "^$", "[A-Z]", "é|中", "\\d", "(?i)ADAM", "s"]
MILLISECOND = timedelta(milliseconds=1)


def random_facts(chance: random.Random) -> Facts:
    started = NOW - chance.randrange(20 * 86_400_000) * MILLISECOND
    ended = None if chance.random() < 0.3 else started + chance.randrange(8 * 3_600_000) * MILLISECOND
    fields = {
        "name": chance.choice(WORDS[1:]),
        "status": chance.choice(STATUSES),
        "notes": chance.choice(WORDS),
        "tags": chance.sample(TAGS, chance.randrange(4)),
        "archived": chance.random() < 0.3,
        "started_at": started,
        "ended_at": ended,
        "created_at": started,
    }
    config = {key: chance.choice(ODD_VALUES) for key in KEYS if chance.random() < 0.7}
    if chance.random() < 0.5:
        config["lr"] = {"lr": chance.choice(ODD_VALUES), "model.name": chance.choice(ODD_VALUES)}
    metrics = {name: random_statistics(chance) for name in METRICS if chance.random() < 0.7}
    return Facts(fields, config, metrics)


def random_statistics(chance: random.Random) -> dict[str, float | None]:
    values = [chance.choice([0.1, 0.25, 0.3, 1.0, 2.5, -1.0]) for _ in range(chance.randrange(4))]
    count = len(values) + 1
    diverged = chance.random() < 0.3 or not values
    return {
        "last": None if diverged else values[-1],
        "min": min(values, default=None),
        "max": max(values, default=None),
        "mean": sum(values) / len(values) if values else None,
        "count": count,
        "nan_count": count - len(values),
    }


def stored(facts: Facts, project: Project) -> Run:
    fields = dict(facts.fields)
    archived = fields.pop("archived")
    run = Run.objects.create(project=project, config=facts.config, archived_at=NOW if archived else None, **fields)
    Run.objects.filter(pk=run.pk).update(created_at=facts.fields["created_at"])
    MetricSeries.objects.bulk_create(
        MetricSeries(
            run=run,
            name=name,
            count=found["count"],
            nan_count=found["nan_count"],
            number_count=found["count"] - found["nan_count"],
            last_value=found["last"],
            min_value=found["min"],
            max_value=found["max"],
            sum_value=(found["mean"] or 0.0) * (found["count"] - found["nan_count"]),
        )
        for name, found in facts.metrics.items()
    )
    # What the store keeps is the sum; its quotient is the mean that a filter sees.
    for found in facts.metrics.values():
        numbers = found["count"] - found["nan_count"]
        found["mean"] = found["mean"] * numbers / numbers if found["mean"] is not None else None
    return run


# --- Random filters ---------------------------------------------------------------------------------------------------

numbers = st.sampled_from([number for number in NUMBERS if abs(number) < 2**63]) | st.floats(-3, 3)
words = st.sampled_from(WORDS)
scalars = numbers | words | st.booleans()
orders = st.sampled_from(list(Operator))
equalities = st.sampled_from([Operator.EQ, Operator.NE])
config_fields = st.lists(st.sampled_from(KEYS), min_size=1, max_size=2).map(lambda path: config_field(*path))
metric_fields = st.builds(metric_field, st.sampled_from(METRICS), st.sampled_from(STATISTICS))
texts = st.sampled_from(["name", "notes"]).map(run_field)
times = st.sampled_from(["started_at", "ended_at", "created_at"]).map(run_field)
moments = (
    st.integers(0, 25).map(lambda days: Day(date(2026, 11, 25) - timedelta(days=days)))
    | st.integers(-20 * 86_400, 0).map(lambda seconds: FromNow(timedelta(seconds=seconds)))
    | st.datetimes(datetime(2026, 11, 1), datetime(2026, 11, 22)).map(lambda time: time.replace(tzinfo=UTC))
)
sometimes_null = st.one_of(config_fields, metric_fields, texts, times, st.just(run_field("tags")))
leaves = st.one_of(
    st.builds(Compare, config_fields, orders, scalars),
    st.builds(In, config_fields, st.lists(scalars, min_size=1, max_size=4).map(tuple)),
    st.builds(Like, st.one_of(config_fields, texts), st.sampled_from(PATTERNS)),
    st.builds(Compare, metric_fields, orders, numbers),
    st.builds(In, metric_fields, st.lists(numbers, min_size=1, max_size=4).map(tuple)),
    st.builds(Compare, texts, orders, words),
    st.builds(In, texts, st.lists(words, min_size=1, max_size=3).map(tuple)),
    st.builds(Compare, st.just(run_field("status")), equalities, st.sampled_from(STATUSES)),
    st.builds(Compare, st.just(run_field("archived")), equalities, st.booleans()),
    st.builds(Compare, times, orders, moments),
    st.builds(Compare, st.just(run_field("duration")), orders, st.integers(0, 40_000).map(float)),
    st.builds(Has, st.just(run_field("tags")), st.sampled_from(TAGS)),
    st.builds(IsNull, sometimes_null),
)
regexes = st.builds(Matches, st.one_of(config_fields, texts), st.sampled_from(REGEXES))


def _joined(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(nodes, min_size=2, max_size=3).map(tuple)
    return st.builds(Not, nodes) | st.builds(And, several) | st.builds(Or, several)


filters = st.recursive(leaves, _joined, max_leaves=6) | _joined(leaves | regexes)


class RandomRuns(dict[int, Facts]):
    """By their id. (Hypothesis writes the arguments of a test that fails.)"""

    def __repr__(self) -> str:
        return f"<{len(self)} runs>"


@pytest.fixture
def runs(db: None) -> RandomRuns:
    chance = random.Random(20261121)
    owner = User.objects.create_user("ann", "ann@example.com")
    project = Project.objects.create(owner=owner, name="odd")
    facts = [random_facts(chance) for _ in range(60)]
    return RandomRuns((stored(one, project).pk, one) for one in facts)


@settings(
    max_examples=examples(full=400, brief=100),
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(tree=filters)
def test_the_database_finds_what_plain_python_finds(runs: RandomRuns, tree: Node) -> None:
    text = written(tree)
    read = parse(text)
    assert read == tree, text
    queryset = Run.objects.all()
    found = set(queryset.filter(condition(read, runs=queryset, now=NOW)).values_list("pk", flat=True))
    assert found == {pk for pk, facts in runs.items() if holds(tree, facts, now=NOW)}, text
