"""What is wrong with a filter, and where."""

from collections.abc import Sequence
from difflib import get_close_matches
from enum import StrEnum

from automl_site.errors import InvalidSpec


class Wanted(StrEnum):
    """What the grammar expects at a place; the completion offers it."""

    CONDITION = "a condition"
    OPERATOR = "an operator"
    VALUE = "a value"
    LIST = "“(”"
    LIST_VALUE = "a value in the list"
    NULL = "“null”"
    CONNECTIVE = "“and”, “or” or the end"


class FilterError(InvalidSpec):
    """A filter that cannot be read. `position` counts characters from 0; `expected` and `nearest` may be empty."""

    def __init__(
        self,
        problem: str,
        *,
        position: int,
        length: int = 1,
        expected: str = "",
        nearest: str = "",
    ) -> None:
        sentence = f"Character {position + 1}: {problem}"
        sentence += f" Expected {expected}." if expected else ""
        sentence += f" Did you mean “{nearest}”?" if nearest else ""
        details = {"position": position, "length": length, "expected": expected, "nearest": nearest}
        super().__init__(sentence, errors={"filter": [sentence]}, details=details)
        self.position = position
        self.length = length
        self.expected = expected
        self.nearest = nearest


def nearest(word: str, known: Sequence[str]) -> str:
    """The known word that `word` is most like; empty if it is like none."""
    exact = {name.lower(): name for name in known}
    found = get_close_matches(word.lower(), list(exact), n=1, cutoff=0.6)
    return exact[found[0]] if found else ""
