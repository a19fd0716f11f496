"""How a filter reads, and what it says of one that it cannot read."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_site.errors import InvalidSpec
from tracking.filters.errors import FilterError
from tracking.filters.fields import config_field, metric_field, parse_field, run_field
from tracking.filters.nodes import (
    And,
    Compare,
    Day,
    FromNow,
    Has,
    In,
    IsNull,
    Like,
    Matches,
    Not,
    Operator,
    Or,
    Value,
    fields_of,
)
from tracking.filters.parser import MAX_DEPTH, MAX_LIST, MAX_REGEXES, MAX_TERMS, parse
from tracking.filters.tokens import MAX_LENGTH

LR = config_field("lr")


def refusal(text: str) -> FilterError:
    with pytest.raises(FilterError) as caught:
        parse(text)
    return caught.value


def value(text: str) -> Value:
    tree = parse(text)
    assert isinstance(tree, Compare)
    return tree.value


# --- What reads -----------------------------------------------------------------------------------------------------


def test_the_example_of_the_documentation_reads() -> None:
    text = 'metrics.val_loss.min < 0.3 and (config.lr in (0.1, 0.01) or tags has "baseline")'
    assert parse(text) == And(
        (
            Compare(metric_field("val_loss", "min"), Operator.LT, 0.3),
            Or((In(LR, (0.1, 0.01)), Has(run_field("tags"), "baseline"))),
        )
    )


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_an_empty_filter_lets_everything_through(text: str) -> None:
    assert parse(text) is None


def test_and_binds_tighter_than_or_and_not_tighter_than_both() -> None:
    one, two, three = (Compare(run_field("id"), Operator.EQ, number) for number in (1, 2, 3))
    assert parse("not id = 1 or id = 2 and id = 3") == Or((Not(one), And((two, three))))
    assert parse("NOT (id=1 OR id==2) And id = 3") == And((Not(Or((one, two))), three))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ('name like "res%"', Like(run_field("name"), "res%")),
        ('name not like "res%"', Not(Like(run_field("name"), "res%"))),
        ('name ~ "^res\\d+"', Matches(run_field("name"), "^res\\d+")),
        ('name matches "a|b"', Matches(run_field("name"), "a|b")),
        ('name !~ "a"', Not(Matches(run_field("name"), "a"))),
        ("config.lr not in (1)", Not(In(LR, (1,)))),
        ("tags not has baseline", Not(Has(run_field("tags"), "baseline"))),
        ("config.lr is null", IsNull(LR)),
        ("config.lr is not null", Not(IsNull(LR))),
        ("status = running", Compare(run_field("status"), Operator.EQ, "running")),
        ("archived = false", Compare(run_field("archived"), Operator.EQ, False)),
        ("duration > 1.5h", Compare(run_field("duration"), Operator.GT, 5400.0)),
        ("duration > 90", Compare(run_field("duration"), Operator.GT, 90.0)),
        ("metrics.loss<1", Compare(metric_field("loss"), Operator.LT, 1)),
    ],
)
def test_every_operator_reads(text: str, tree: object) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("metrics.loss", metric_field("loss", "last")),
        ("metrics.loss.max", metric_field("loss", "max")),
        ("metrics.loss.MAX", metric_field("loss", "max")),
        ('metrics."train loss".mean', metric_field("train loss", "mean")),
        ("metrics.train/loss.best", metric_field("train/loss", "best")),
        ("metrics.train.loss.min", metric_field("train.loss", "min")),
        ("metrics.min", metric_field("min", "last")),
        ('metrics."a.min"', metric_field("a.min", "last")),
        ("config.optimizer.lr", config_field("optimizer", "lr")),
        ('config."model.name"', config_field("model.name")),
        ("config.layers.0", config_field("layers", "0")),
        ("config.größe", config_field("größe")),
        ("config.not", config_field("not")),
        ("Name", run_field("name")),
    ],
)
def test_names_are_paths_whose_odd_parts_stand_in_quotes(text: str, field: object) -> None:
    assert parse_field(text) == field


plain = st.text(min_size=1, max_size=20).filter(lambda text: '"' not in text and "\x00" not in text)
storable = plain.filter(lambda text: not any("\ud800" <= character <= "\udfff" for character in text))


@given(path=st.lists(storable, min_size=1, max_size=4))
def test_a_config_field_reads_back_as_it_is_written(path: list[str]) -> None:
    field = config_field(*path)
    assert parse_field(field.text) == field


@given(name=storable, statistic=st.sampled_from(["last", "min", "count"]))
def test_a_metric_reads_back_as_it_is_written(name: str, statistic: str) -> None:
    field = metric_field(name, statistic)
    assert parse_field(field.text) == field


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'config.a = "say \"hi\""', 'say "hi"'),
        (r"config.a = 'it\'s'", "it's"),
        (r'config.a = "C:\\dir\d"', r"C:\dir\d"),
        ("config.a = resnet-50", "resnet-50"),
        ("config.a = true", True),
        ('config.a = "true"', "true"),
        ("config.a = -1e-3", -0.001),
        ("config.a = .5", 0.5),
        ("config.a = 7", 7),
        ("config.a = +7", 7),
        ("started_at > -7d", FromNow(timedelta(days=-7))),
        ("started_at > now", FromNow(timedelta())),
        ("started_at > 2026-11-21", Day(date(2026, 11, 21))),
        ("started_at > 2026-11-21T06:40", datetime(2026, 11, 21, 6, 40, tzinfo=UTC)),
        ('started_at > "2026-11-21 06:40:00"', datetime(2026, 11, 21, 6, 40, tzinfo=UTC)),
        ("started_at > 2026-11-21T06:40:00.5Z", datetime(2026, 11, 21, 6, 40, 0, 500_000, tzinfo=UTC)),
        ("started_at > 2026-11-21T08:40+02:00", datetime(2026, 11, 21, 6, 40, tzinfo=UTC)),
    ],
)
def test_values_keep_their_type(text: str, expected: object) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


def test_the_fields_of_a_filter_are_known() -> None:
    tree = parse("not (config.lr = 1 or metrics.loss.min is null) and tags has a")
    assert list(fields_of(tree)) == [LR, metric_field("loss", "min"), run_field("tags")]


# --- What does not --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("config.lr <", 11, "Expected a number"),
        ("config.lr", 9, "Expected after config.lr one of =, !=, <"),
        ("statsu = running", 0, "Did you mean “status”?"),
        ("metric.loss < 1", 0, "Did you mean “metrics.loss”?"),
        ("config.lr = 1 adn id = 2", 14, "Did you mean “and”?"),
        ("status = runing", 9, "Did you mean “running”?"),
        ("status = zzz", 9, "one of pending, running, completed, failed, cancelled"),
        ("status < running", 7, "does not apply"),
        ('config.lr = "0.1', 12, "no closing quote"),
        ("(config.lr = 1", 14, "“(” at character 1 is not closed"),
        ("config.lr = 1)", 13, "closes nothing"),
        ("config.lr in 1", 13, "Expected a list"),
        ("config.lr in (1 2)", 16, "Expected “,” or “)”"),
        ("config.lr in ()", 14, "Expected a number, a text in quotes, true or false"),
        ("config.lr = null", 12, "Expected config.lr is null"),
        ("config.lr is 3", 13, "Expected “null”"),
        ("config. = 1", 0, "A part of this name is missing"),
        ("config = 1", 0, "Expected a name, e.g. config.lr"),
        ("metrics.loss = text", 15, "Expected a number"),
        ("metrics.loss like a", 13, "does not apply"),
        ("tags = baseline", 5, "does not apply"),
        ("id = 1.5", 5, "whole number"),
        ("id = 99999999999999999999", 5, "whole number"),
        ("config.lr = 1e999", 12, "too large"),
        ("config.lr = 1x", 12, "no number, duration or time"),
        ("started_at > yesterday", 13, "Expected a time"),
        ("started_at > 2026-13-01", 13, "is no time"),
        ("started_at > 9999-12-31", 13, "A year lies between"),
        ("started_at > -99999w", 13, "more than a hundred years"),
        ('name ~ "("', 7, "no regular expression of RE2"),
        (r'name ~ "(a)\1"', 7, "no regular expression of RE2"),
        ("name ~ 3", 7, "Expected text in quotes"),
        ("config.lr = 1 and", 17, "The filter ends here"),
        ("; drop table", 0, "means nothing here"),
        ("config.lr = 1 ☃", 14, "means nothing here"),
        ("name = \x00", 7, "cannot be stored"),
        ("name = \ud800", 7, "cannot be stored"),
        ("name lke x", 5, "Did you mean “like”?"),
    ],
)
def test_a_mistake_is_told_with_its_character_and_what_was_expected(text: str, position: int, words: str) -> None:
    error = refusal(text)
    assert error.position == position, error.message
    assert words in error.message
    assert error.message.startswith(f"Character {position + 1}: ")
    assert error.details["position"] == position


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x" * (MAX_LENGTH + 1), "longer than 4,000 characters (4,001)"),
        ("(" * 1500, "more than 1,000 words and signs"),
        ("(" * (MAX_DEPTH + 2), f"deeper than {MAX_DEPTH}"),
        ("not " * (MAX_DEPTH + 2), f"deeper than {MAX_DEPTH}"),
        (" or ".join(["id=1"] * (MAX_TERMS + 1)), f"more than {MAX_TERMS} conditions"),
        (f"id in ({', '.join(['1'] * (MAX_LIST + 1))})", f"at most {MAX_LIST} values"),
        (" or ".join(['name ~ "a"'] * (MAX_REGEXES + 1)), f"at most {MAX_REGEXES} regular"),
        (f'name ~ "{"a" * 501}"', "longer than 500 characters"),
        (f"config.{'.'.join('a' * 20)} = 1", "at most 16 parts"),
    ],
)
def test_everything_is_bounded(text: str, words: str) -> None:
    assert words in refusal(text).message


@given(text=st.text(max_size=60) | st.text(alphabet="ain(o)rdt \"'.~=<>!12e-,%\\fglsu", max_size=60))
def test_no_text_at_all_is_a_failure_of_ours(text: str) -> None:
    try:
        parse(text)
    except InvalidSpec as error:
        assert error.errors["filter"]
