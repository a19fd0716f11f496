"""What is offered at the caret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.filters.completion import Known, complete
from tracking.filters.parser import parse

KNOWN = Known(
    config=(("lr",), ("optimizer", "name"), ("model.name",)),
    metrics=("val_loss", "train loss", "acc"),
    tags=("baseline", 'quo"te'),
    values={("optimizer", "name"): ('"adam"', '"sgd"')},
)


def offered(text: str, caret: int | None = None) -> list[str]:
    found = complete(text, len(text) if caret is None else caret, KNOWN)
    return [suggestion.text for suggestion in found.suggestions]


def accepted(text: str, index: int = 0) -> str:
    """The text after the suggestion of that index was taken."""
    found = complete(text, len(text), KNOWN)
    return text[: found.start] + found.suggestions[index].text + text[found.end :]


def test_an_empty_filter_offers_the_projects_own_fields_first() -> None:
    found = offered("")
    assert found[:3] == ["metrics.val_loss", 'metrics."train loss"', "metrics.acc"]
    assert {"config.lr", 'config."model.name"', "status", "not", "("} <= set(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("conf", ["config.lr", "config.optimizer.name", 'config."model.name"']),
        ("config.o", ["config.optimizer.name"]),
        ("metrics.val_loss.m", ["metrics.val_loss.min", "metrics.val_loss.max", "metrics.val_loss.mean"]),
        ("loss", ["metrics.val_loss", 'metrics."train loss"']),
        ("status ", ["=", "!=", "in", "like", "~"]),
        ("status = ", ["pending", "running", "completed", "failed", "cancelled"]),
        ("status = r", ["running"]),
        ("status in (failed, c", ["completed", "cancelled"]),
        ("tags ", ["has", "is null", "is not null"]),
        ("tags has ", ['"baseline"', '"quo\\"te"']),
        ("tags has b", ['"baseline"']),
        ('tags has "b', ['"baseline"']),
        ("config.optimizer.name = ", ['"adam"', '"sgd"']),
        ("config.optimizer.name is ", ["null", "not null"]),
        ("config.lr = 0.1 ", ["and", "or"]),
        ("config.lr = 0.1 a", ["and"]),
        ("(config.lr = 0.1 ", ["and", "or"]),
        ("config.lr = 0.1 and sta", ["status", "started_at"]),
        ("archived = ", ["true", "false"]),
        ("nonsense = = ", []),
    ],
)
def test_what_is_offered_fits_the_place(text: str, expected: list[str]) -> None:
    assert offered(text)[: len(expected)] == expected
    if expected == []:
        assert offered(text) == []


def test_only_the_word_at_the_caret_is_replaced() -> None:
    assert accepted("config.lr = 0.1 and sta") == "config.lr = 0.1 and status"
    assert accepted('tags has "b') == 'tags has "baseline"'
    text = "conf = 1"
    found = complete(text, 4, KNOWN)
    assert (found.start, found.end) == (0, 4)


def test_a_condition_can_be_made_of_suggestions_alone() -> None:
    text = ""
    for word in ("status", "=", "failed", "and", "tags", "has", '"baseline"'):
        assert word in offered(text), (text, word)
        text += word + " "
    assert parse(text)


@given(text=st.text(max_size=40) | st.text(alphabet="cofig.lr =<(tas\"')", max_size=40), caret=st.integers(-5, 50))
def test_no_text_and_no_caret_is_a_failure_of_ours(text: str, caret: int) -> None:
    found = complete(text, caret, KNOWN)
    assert 0 <= found.start <= found.end <= len(text)
