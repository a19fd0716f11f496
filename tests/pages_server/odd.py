"""Values that no page has made, for the tests that send them as every parameter."""

import pytest

# What a careless int(), float(), encode() or column trips over.
BRIEF = ("NaN", "1e999", "²", "9" * 5000, "\ud800", "x" * 10_000)
ODD = (
    *BRIEF,
    "",
    "-1",
    "abc",
    "_%\\",
    "a\nb",
    " ",
    "0",
    "1.5",
    "inf",
    "-inf",
    "٣",
    str(10**9),
    str(10**30),
    "None",
    "null",
    "true",
    "[]",
    "{}",
    "../../etc/passwd",
    "%",
    "' OR 1=1 --",
    "🌳" * 50,
    "\u202e\ufeff",
)
with_odd_values = pytest.mark.parametrize(
    "values", [pytest.param(BRIEF, id="the worst"), pytest.param(ODD, id="all", marks=pytest.mark.full)]
)
