"""The runs table: what a page shows, in which order, and what groups say."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from automl_site.errors import InvalidSpec
from tracking.filters.fields import Field, parse_field
from tracking.models import MetricSeries, Project, Run, User
from tracking.selectors.run_fields import known_fields
from tracking.selectors.run_groups import Spread, run_groups
from tracking.selectors.run_table import TableQuery, run_page, run_rows

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def project(user: User) -> Project:
    return Project.objects.create(owner=user, name="grapes")


def make_run(project: Project, name: str, *, metrics: dict[str, Any] | None = None, **fields: Any) -> Run:
    run = Run.objects.create(project=project, name=name, **{"started_at": BEGIN, **fields})
    for metric, value in (metrics or {}).items():
        number = None if value is None or math.isnan(value) else value
        numbers = number is not None and math.isfinite(number)
        summary = {f"{field}_value": number if numbers else None for field in ("min", "max")}
        MetricSeries.objects.create(
            run=run, name=metric, count=1, number_count=int(numbers), last_value=number,
            sum_value=number if numbers else 0.0, **summary,
        )  # fmt: skip
    return run


def fields(*names: str) -> tuple[Field, ...]:
    return tuple(map(parse_field, names))


def names(user: User, project: Project, query: TableQuery, **options: Any) -> list[str]:
    return [row.run.name for row in run_page(user=user, project=project, query=query, **options).rows]


def order(user: User, project: Project, by: str, *, descending: bool = False) -> list[str]:
    return names(user, project, TableQuery(sort=parse_field(by), descending=descending))


# --- Rows -----------------------------------------------------------------------------------------------------------


def test_a_row_has_the_values_of_the_chosen_columns(user: User, project: Project) -> None:
    make_run(
        project,
        "one",
        config={"lr": 0.1, "optimizer": {"name": "adam"}, "layers": [1, 2]},
        tags=["baseline"],
        ended_at=BEGIN + timedelta(minutes=2),
        metrics={"val_loss": 0.25, "diverged": math.nan},
    )
    columns = fields(
        "config.lr", "config.optimizer.name", "config.layers", "config.nothing", "metrics.val_loss.min",
        "metrics.val_loss.best", "metrics.diverged", "metrics.nothing", "tags", "duration", "archived",
    )  # fmt: skip
    [row] = run_page(user=user, project=project, query=TableQuery(columns=columns)).rows
    assert row.cells == [
        0.1, "adam", [1, 2], None, 0.25, 0.25, "NaN", None, ["baseline"], timedelta(minutes=2), False,
    ]  # fmt: skip


def test_the_newest_run_stands_first_and_pages_follow_each_other(user: User, project: Project) -> None:
    for number in range(5):
        make_run(project, str(number))
    assert names(user, project, TableQuery(), size=2) == ["4", "3"]
    assert names(user, project, TableQuery(), size=2, number=3) == ["0"]
    assert names(user, project, TableQuery(), size=2, number="nonsense") == ["4", "3"]


def test_only_this_projects_runs_are_shown_and_only_to_who_may_see_them(
    user: User, project: Project, make_user: Any
) -> None:
    make_run(project, "mine")
    make_run(Project.objects.create(owner=user, name="other"), "elsewhere")
    assert names(user, project, TableQuery()) == ["mine"]
    assert names(make_user("eve"), project, TableQuery()) == []


def test_archived_runs_are_shown_when_asked_for_and_trashed_ones_in_the_trash(user: User, project: Project) -> None:
    make_run(project, "live")
    make_run(project, "archived", archived_at=BEGIN)
    make_run(project, "trashed", deleted_at=BEGIN)
    assert names(user, project, TableQuery()) == ["live"]
    assert names(user, project, TableQuery(archived=True)) == ["archived", "live"]
    assert names(user, project, TableQuery(filter="archived = true")) == ["archived"]
    assert names(user, project, TableQuery(trashed=True)) == ["trashed"]


def test_a_filter_that_cannot_be_read_is_refused(user: User, project: Project) -> None:
    with pytest.raises(InvalidSpec, match="Character 1"):
        run_page(user=user, project=project, query=TableQuery(filter="nonsense = 1"))
    with pytest.raises(InvalidSpec, match="Character 1"):
        run_rows(user=user, project=project, query=TableQuery(filter="nonsense = 1"))


def test_all_rows_come_in_the_tables_order(user: User, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracking.selectors.run_table.EXPORT_CHUNK", 2)
    for number in range(5):
        make_run(project, str(number), config={"n": -number})
    query = TableQuery(filter="config.n < 0", columns=fields("config.n"), sort=parse_field("config.n"))
    assert [(row.run.name, *row.cells) for row in run_rows(user=user, project=project, query=query)] == [
        ("4", -4), ("3", -3), ("2", -2), ("1", -1),
    ]  # fmt: skip


# --- Order ----------------------------------------------------------------------------------------------------------


def test_a_configs_numbers_sort_as_numbers_then_texts_and_what_is_missing_comes_last(
    user: User, project: Project
) -> None:
    make_run(project, "nothing", config={})
    for name, value in {"null": None, "ten": 10, "nine": 9, "text": "a", "nine again": 9.0}.items():
        make_run(project, name, config={"x": value})
    assert order(user, project, "config.x") == ["nine again", "nine", "ten", "text", "null", "nothing"]
    assert order(user, project, "config.x", descending=True) == ["ten", "nine again", "nine", "text", "null", "nothing"]


def test_metrics_sort_by_the_chosen_statistic_and_runs_without_come_last(user: User, project: Project) -> None:
    make_run(project, "none")
    make_run(project, "high", metrics={"loss": 2.0})
    make_run(project, "nan", metrics={"loss": math.nan})
    make_run(project, "low", metrics={"loss": 0.5, "acc": 9.0})
    assert order(user, project, "metrics.loss.min") == ["low", "high", "nan", "none"]
    assert order(user, project, "metrics.loss.mean", descending=True) == ["high", "low", "nan", "none"]


def test_own_fields_sort_and_equals_keep_the_newest_first(user: User, project: Project) -> None:
    make_run(project, "b", tags=["x"], ended_at=BEGIN + timedelta(minutes=3))
    make_run(project, "A", tags=["a"], ended_at=BEGIN + timedelta(minutes=1))
    make_run(project, "a", tags=["a"], ended_at=BEGIN + timedelta(minutes=2))
    assert order(user, project, "name") == ["A", "a", "b"]
    assert order(user, project, "duration", descending=True) == ["b", "a", "A"]
    assert order(user, project, "tags") == ["a", "A", "b"]
    assert order(user, project, "status") == ["a", "A", "b"]


# --- Groups ---------------------------------------------------------------------------------------------------------


def grouped(user: User, project: Project, by: str, *columns: str, **query: Any) -> list[tuple[Any, int, list[Spread]]]:
    asked = TableQuery(columns=fields(*columns), **query)
    found = run_groups(user=user, project=project, query=asked, by=parse_field(by))
    return [(group.value, group.count, group.cells) for group in found]


def test_a_group_says_mean_and_standard_deviation_of_its_runs(user: User, project: Project) -> None:
    for loss in (0.2, 0.4):
        make_run(project, "small", config={"lr": 0.01}, metrics={"loss": loss})
    make_run(project, "small", config={"lr": 0.01}, metrics={"loss": math.inf})
    make_run(project, "big", config={"lr": 1}, metrics={"loss": 3.0})
    make_run(project, "without")
    groups = grouped(user, project, "config.lr", "status", "metrics.loss")
    assert [(value, count) for value, count, _ in groups] == [(0.01, 3), (1, 1), (None, 1)]
    [[small], [big], [nothing]] = [cells for _, _, cells in groups]
    assert (small.count, small.mean, small.std) == (2, pytest.approx(0.3), pytest.approx(math.sqrt(0.02)))
    assert (big, nothing) == (Spread(1, 3.0, None), Spread(0, None, None))


def test_values_of_different_types_are_different_groups_and_each_names_its_runs(user: User, project: Project) -> None:
    values = [1, 1.0, "1", True, [1], 'it\'s "odd"', None]
    for value in values:
        make_run(project, repr(value), config={"x": value})
    page = run_groups(user=user, project=project, query=TableQuery(), by=parse_field("config.x"))
    assert sorted((group.count, repr(group.value)) for group in page) == sorted(
        [(2, "1"), (1, "'1'"), (1, "True"), (1, "'list or object'"), (1, repr('it\'s "odd"')), (1, "None")]
    )
    for group in page:
        if group.filter:
            found = run_page(user=user, project=project, query=TableQuery(filter=group.filter))
            assert found.page.paginator.count == group.count, group.filter


def test_groups_sort_by_size_by_value_or_by_a_metrics_mean(user: User, project: Project) -> None:
    for lr, loss in ((10, 1.0), (9, 3.0), (9, 3.0), (11, None)):
        make_run(project, "run", config={"lr": lr}, metrics={"loss": loss} if loss else {})

    def values(**query: Any) -> list[Any]:
        return [value for value, *_ in grouped(user, project, "config.lr", "metrics.loss", **query)]

    [lr, loss] = fields("config.lr", "metrics.loss")
    assert values() == [9, 10, 11]
    assert values(sort=lr, descending=True) == [11, 10, 9]
    assert values(sort=loss) == [10, 9, 11]
    assert values(sort=loss, descending=True) == [9, 10, 11]


def test_runs_group_by_their_own_status_too(user: User, project: Project) -> None:
    make_run(project, "a", status="failed")
    make_run(project, "b", status="running")
    make_run(project, "c", status="running")
    assert [(value, count) for value, count, _ in grouped(user, project, "status")] == [("running", 2), ("failed", 1)]


# --- What is there --------------------------------------------------------------------------------------------------


def test_the_names_that_runs_use_are_known_the_most_frequent_first(user: User, project: Project) -> None:
    make_run(project, "a", config={"lr": 1, "opt": {"name": "sgd"}}, tags=["x", "y"], metrics={"loss": 1.0})
    make_run(project, "b", config={"opt": {"name": "adam"}}, tags=["y"], metrics={"acc": 1.0, "loss": 1.0})
    make_run(project, "c", config={"opt": {"name": "adam"}, 'od"d': 1}, metrics={'od"d': 1.0})
    make_run(project, "gone", config={"gone": 1}, deleted_at=BEGIN)
    known = known_fields(user=user, project=project)
    assert known.config == [("opt", "name"), ("lr",)]
    assert known.metrics == ["loss", "acc"]
    assert known.tags == ["y", "x"]
    assert known.values == {("opt", "name"): ['"adam"', '"sgd"']}


@pytest.mark.parametrize("count", [3, 30])
def test_a_page_takes_four_queries_however_many_runs(
    user: User, project: Project, count: int, django_assert_num_queries: Any
) -> None:
    for number in range(count):
        make_run(project, str(number), config={"lr": number}, metrics={"loss": 1.0, "acc": 1.0})
    columns = fields("config.lr", "metrics.loss", "metrics.acc.max", "tags")
    query = TableQuery("metrics.loss < 2", columns, sort=parse_field("metrics.loss"))
    with django_assert_num_queries(4):
        run_page(user=user, project=project, query=query)
    with django_assert_num_queries(2):
        run_groups(user=user, project=project, query=query, by=parse_field("config.lr"))
    with django_assert_num_queries(2):
        known_fields(user=user, project=project)
