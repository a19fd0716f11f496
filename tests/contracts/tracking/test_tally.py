"""Metric posts are counted against their user's limit without a trip to Redis at each."""

from collections.abc import Iterator

import pytest
import redis

from api.tracking.tally import Tally
from automl_site import rates
from tracking.selectors.rates import forget_rates

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_rates_of_other_tests() -> Iterator[None]:
    forget_rates()
    yield
    forget_rates()


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The calls that each trip to Redis told of."""
    told: list[int] = []
    hit = rates.hit

    def counted(*limits: rates.Limit | None, calls: int = 1) -> list[rates.Usage]:
        told.append(calls)
        return hit(*limits, calls=calls)

    monkeypatch.setattr(rates, "hit", counted)
    return told


def limited(settings: object, rate: str) -> None:
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "tracking_metrics": rate}


def test_exactly_as_many_pass_as_are_allowed(redis_client: redis.Redis, settings: object, trips: list[int]) -> None:
    limited(settings, "100/h")
    tally = Tally()
    usages = [tally.count(1, 1) for _ in range(120)]
    assert [usage.used for usage in usages] == list(range(1, 121))
    assert [usage.exceeded for usage in usages] == [False] * 100 + [True] * 20
    assert len({usage.reset_at for usage in usages[:100]}) <= 2, "one window, but for what rounding does"
    assert len(trips) < 20 + 20 + 5, "one trip for five calls, as long as they are allowed"
    assert sum(trips) == 120


def test_a_small_limit_is_counted_call_by_call(redis_client: redis.Redis, settings: object, trips: list[int]) -> None:
    limited(settings, "5/h")
    tally = Tally()
    assert [tally.count(1, 1).exceeded for _ in range(7)] == [False] * 5 + [True] * 2
    assert trips == [1] * 7


def test_two_processes_let_through_a_twentieth_too_much_at_most(redis_client: redis.Redis, settings: object) -> None:
    limited(settings, "100/h")
    tallies = Tally(), Tally()
    passed = sum(not tallies[number % 2].count(1, 1).exceeded for number in range(240))
    assert 100 <= passed <= 105


def test_users_are_counted_apart_and_a_changed_limit_counts_anew(redis_client: redis.Redis, settings: object) -> None:
    limited(settings, "100/h")
    tally = Tally()
    assert [tally.count(user, 3).used for user in (1, 2, 1)] == [3, 3, 6]
    limited(settings, "200/h")
    assert tally.count(1, 1).limit == 200


def test_where_there_is_no_limit_nothing_is_counted(settings: object, trips: list[int]) -> None:
    limited(settings, "")
    assert Tally().count(1, 1) is None
    assert trips == []
