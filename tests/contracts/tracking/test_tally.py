"""Metric posts are counted against their user's limit without a trip to Redis at each."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from api.base.throttling import TRACKING_CALLS, TRACKING_METRICS
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
    tally = Tally(TRACKING_METRICS)
    usages = [tally.count(1, 1) for _ in range(120)]
    assert [usage.used for usage in usages] == list(range(1, 121))
    assert [usage.exceeded for usage in usages] == [False] * 100 + [True] * 20
    assert len({usage.reset_at for usage in usages[:100]}) <= 2, "one window, but for what rounding does"
    assert len(trips) < 20 + 20 + 5, "one trip for five calls, as long as they are allowed"
    assert sum(trips) == 120


def test_a_small_limit_is_counted_call_by_call(redis_client: redis.Redis, settings: object, trips: list[int]) -> None:
    limited(settings, "5/h")
    tally = Tally(TRACKING_METRICS)
    assert [tally.count(1, 1).exceeded for _ in range(7)] == [False] * 5 + [True] * 2
    assert trips == [1] * 7


def test_two_processes_let_through_a_twentieth_too_much_at_most(redis_client: redis.Redis, settings: object) -> None:
    limited(settings, "100/h")
    tallies = Tally(TRACKING_METRICS), Tally(TRACKING_METRICS)
    passed = sum(not tallies[number % 2].count(1, 1).exceeded for number in range(240))
    assert 100 <= passed <= 105


def test_users_are_counted_apart_and_a_changed_limit_counts_anew(redis_client: redis.Redis, settings: object) -> None:
    limited(settings, "100/h")
    tally = Tally(TRACKING_METRICS)
    assert [tally.count(user, 3).used for user in (1, 2, 1)] == [3, 3, 6]
    limited(settings, "200/h")
    assert tally.count(1, 1).limit == 200


def test_where_there_is_no_limit_nothing_is_counted(settings: object, trips: list[int]) -> None:
    limited(settings, "")
    assert Tally(TRACKING_METRICS).count(1, 1) is None
    assert trips == []


def test_of_several_limits_each_is_kept_and_the_tightest_is_told(
    redis_client: redis.Redis, settings: object, trips: list[int]
) -> None:
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "tracking_minute": "60/h", "tracking_hour": "90/d"}
    tally = Tally(TRACKING_CALLS)
    usages = [tally.count(1) for _ in range(70)]
    assert [usage.used for usage in usages] == list(range(1, 71))
    assert {usage.limit for usage in usages} == {60}
    assert [usage.exceeded for usage in usages] == [False] * 60 + [True] * 10
    settings.RATE_LIMITS = {**settings.RATE_LIMITS, "tracking_minute": ""}
    usages = [tally.count(1) for _ in range(25)]
    assert {usage.limit for usage in usages} == {90}
    assert [usage.exceeded for usage in usages] == [False] * 20 + [True] * 5
    assert sum(trips) == 95
    assert len(trips) < 50


def test_threads_that_count_at_once_count_each_call_once(redis_client: redis.Redis, settings: object) -> None:
    limited(settings, "1000/h")
    tally = Tally(TRACKING_METRICS)
    with ThreadPoolExecutor(8) as threads:
        used = [usage.used for usage in threads.map(lambda _: tally.count(1), range(400))]
    assert sorted(used) == list(range(1, 401))
