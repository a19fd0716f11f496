"""Text that both databases keep: PostgreSQL stores neither NUL nor half a surrogate pair."""

import math
from typing import Any

MAX_JSON_DEPTH = 64
INTEGERS = (-(2**63), 2**64 - 1)  # what every JSON library reads back as it was written


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can keep `text` as it is."""
    if "\x00" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def clean(text: str, *, limit: int) -> str:
    """`text` made storable, at most `limit` characters long; what was cut off is counted at the end.

    For what a program said (log lines, reasons), where losing the line would be worse than losing a character.
    """
    text = str(text)
    if len(text) > limit:
        mark = f"… [{len(text) - limit:,} characters and more cut off]"
        text = text[: limit - len(mark)] + mark if limit > 2 * len(mark) else text[: limit - 1] + "…"
    if not is_storable(text):
        text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
        text = text.encode(errors="surrogatepass").decode(errors="replace")
        text = text[:limit]  # a surrogate became more than one replacement character
    return text


def json_problem(value: Any, *, depth: int = 0) -> str:
    """Why `value` cannot be kept in a JSON column; empty when it can."""
    if depth > MAX_JSON_DEPTH:
        return f"is nested deeper than {MAX_JSON_DEPTH} levels"
    if isinstance(value, str):
        return "" if is_storable(value) else "contains a NUL character or half a surrogate pair"
    if isinstance(value, int) and not INTEGERS[0] <= value <= INTEGERS[1]:
        return "contains an integer larger than 64 bits"
    if isinstance(value, bool | int | None):
        return ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else "contains NaN or Infinity, which JSON lacks"
    if isinstance(value, list | tuple):
        return next(filter(None, (json_problem(item, depth=depth + 1) for item in value)), "")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or not is_storable(key):
                return "has a key that is no text, or that contains a NUL character or half a surrogate pair"
            if problem := json_problem(item, depth=depth + 1):
                return problem
        return ""
    return f"contains a {type(value).__name__}, which JSON lacks"
