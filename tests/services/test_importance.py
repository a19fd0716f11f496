"""Which config values explain a metric: what is found, what is not, and what is left out."""

import math
from typing import Any

import numpy as np
import pytest

from tracking.filters.fields import config_field
from tracking.selectors.compare import Column
from tracking.selectors.importance import MIN_RUNS, importances


def column(name: str, values: list[Any]) -> Column:
    return Column(config_field(name), values)


def shares(columns: list[Column], target: list[Any]) -> dict[str, float]:
    return {found.field.name: found.share for found in importances(columns, target)}


def test_a_number_that_orders_the_runs_explains_all_and_tells_its_direction() -> None:
    target = [float(number) for number in range(10)]
    (falling,) = importances([column("lr", [10.0**-number for number in range(10)])], target)
    assert falling.share == pytest.approx(1)
    assert (falling.direction, falling.runs, falling.numeric) == (-1, 10, True)
    assert falling.chance < 0.01


def test_what_only_a_text_decides_is_found_and_noise_is_not() -> None:
    target = [0.1 + number / 1000 if number % 2 else 0.9 + number / 1000 for number in range(20)]
    noise = np.random.default_rng(3).permutation(20).tolist()
    found = shares(
        [column("optimizer", ["adam" if n % 2 else "sgd" for n in range(20)]), column("seed", noise)], target
    )
    assert found["optimizer"] > 0.7
    assert found["seed"] < 0.2


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([1.0] * 10, id="all the same"),
        pytest.param([f"run-{number}" for number in range(10)], id="a name of its own for each"),
        pytest.param([*range(MIN_RUNS - 1), *[None] * (11 - MIN_RUNS)], id="too few runs have it"),
    ],
)
def test_what_cannot_be_judged_is_left_out(values: list[Any]) -> None:
    assert importances([column("x", values)], [float(number) for number in range(10)]) == []


def test_runs_without_a_finite_metric_do_not_count() -> None:
    target = [math.nan, math.inf, None, *map(float, range(9))]
    (found,) = importances([column("x", list(range(12)))], target)
    assert found.runs == 9
    assert importances([column("x", list(range(12)))], [1.0] * 12) == []


def test_mixed_types_are_kinds_and_true_is_no_number() -> None:
    values = [True, 1, "1", [True, 1, "1"][0]] * 3
    (found,) = importances([column("x", values)], [float(index % 4) for index in range(12)])
    assert not found.numeric
