"""Patterns of `like`, in the words of each database."""

import re
from collections.abc import Iterator

ANY_TEXT, ANY_CHARACTER = object(), object()


def pattern_parts(pattern: str) -> Iterator[str | object]:
    """The characters of a pattern, its `%` as ANY_TEXT and `_` as ANY_CHARACTER; a backslash makes them themselves."""
    characters = iter(pattern)
    for character in characters:
        if character == "%":
            yield ANY_TEXT
        elif character == "_":
            yield ANY_CHARACTER
        elif character == "\\":
            yield next(characters, "\\")
        else:
            yield character


def as_like(pattern: str) -> str:
    """For PostgreSQL's LIKE, whose escape is the backslash."""
    return _translated(pattern, any_text="%", any_character="_", special=r"([\\%_])", quoted=r"\\\1")


def as_glob(pattern: str) -> str:
    """For SQLite's GLOB."""
    return _translated(pattern, any_text="*", any_character="?", special=r"([*?\[])", quoted=r"[\1]")


def _translated(pattern: str, *, any_text: str, any_character: str, special: str, quoted: str) -> str:
    wildcards = {ANY_TEXT: any_text, ANY_CHARACTER: any_character}
    return "".join(
        re.sub(special, quoted, part) if isinstance(part, str) else wildcards[part] for part in pattern_parts(pattern)
    )
