"""Values that no page has made, for the tests that send them as every parameter."""

import pytest

# One of each kind.
BRIEF = ("", "-1", "abc", "NaN", "1e999", "²", "9" * 5000, "_%\\", "\ud800", "a\nb", "x" * 10_000)
ODD = (
    *BRIEF,
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
    "values", [pytest.param(BRIEF, id="one of each kind"), pytest.param(ODD, id="all", marks=pytest.mark.full)]
)
