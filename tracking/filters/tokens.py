"""Text -> tokens. Every pattern here is linear in the text's length."""

import re
from dataclasses import dataclass
from enum import StrEnum

from tracking import text as storable
from tracking.filters.errors import FilterError

MAX_LENGTH = 4000  # characters
MAX_TOKENS = 1000
KEYWORDS = frozenset(("and", "or", "not", "in", "like", "matches", "has", "is", "null", "true", "false", "now"))


class Kind(StrEnum):
    PATH = "name"  # config.lr, metrics."train/loss".min, running
    KEYWORD = "keyword"
    STRING = "text in quotes"
    NUMBER = "number"
    DURATION = "duration"  # 90s, 1.5h, -7d
    TIME = "time"  # 2026-11-21, 2026-11-21T06:40Z
    SYMBOL = "symbol"
    END = "the end"


@dataclass(frozen=True, slots=True)
class Token:
    """`text` as it was written; `value` is a string without its quotes, `parts` a path's names as (name, quoted)."""

    kind: Kind
    text: str
    start: int
    value: str = ""
    parts: tuple[tuple[str, bool], ...] = ()

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    def is_keyword(self, *words: str) -> bool:
        return self.kind is Kind.KEYWORD and self.text.lower() in words

    def is_symbol(self, *symbols: str) -> bool:
        return self.kind is Kind.SYMBOL and self.text in symbols


_SPACE = re.compile(r"\s+")
_STRING = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""", re.DOTALL)
_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:[Zz]|[+-]\d\d:\d\d)?)?(?![\w.])")
_DURATION = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)[smhdw](?![\w.])")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.])")
_FIRST_PART = re.compile(r"[^\W\d][\w/@:-]*")
_PART = re.compile(r"[\w/@:-]+")
_SYMBOL = re.compile(r"==|!=|<=|>=|!~|[=<>~(),]")
_ESCAPED = re.compile(r"\\([\\\"'])")


def tokenize(text: str) -> list[Token]:
    """The tokens of `text`, the last one of kind END.

    Raises:
        FilterError: a character that begins no token, a text in quotes without its end, or too much of anything.
    """
    if len(text) > MAX_LENGTH:
        raise FilterError(
            f"The filter is longer than {MAX_LENGTH:,} characters ({len(text):,}).", position=MAX_LENGTH, length=0
        )
    if not storable.is_storable(text):
        position = next(i for i, character in enumerate(text) if not storable.is_storable(character))
        raise FilterError("This character cannot be stored, so nothing can contain it.", position=position)
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        if space := _SPACE.match(text, position):
            position = space.end()
            continue
        token = _token_at(text, position)
        tokens.append(token)
        position = token.end
        if len(tokens) > MAX_TOKENS:
            raise FilterError(f"The filter has more than {MAX_TOKENS:,} words and signs.", position=token.start)
    tokens.append(Token(Kind.END, "", len(text)))
    return tokens


def _token_at(text: str, start: int) -> Token:
    if text[start] in "\"'":
        return _string_at(text, start)
    for kind, pattern in ((Kind.TIME, _TIME), (Kind.DURATION, _DURATION), (Kind.NUMBER, _NUMBER)):
        if found := pattern.match(text, start):
            return Token(kind, found[0], start)
    if found := _FIRST_PART.match(text, start):
        if found[0].lower() in KEYWORDS and text[found.end() : found.end() + 1] != ".":
            return Token(Kind.KEYWORD, found[0], start)
        return _path_at(text, start, found.end())
    if found := _SYMBOL.match(text, start):
        return Token(Kind.SYMBOL, found[0], start)
    if text[start].isdigit() or text[start] in "+-.":
        word = re.match(r"\S+?(?=[\s(),]|$)", text[start:])
        raise FilterError(
            "This is no number, duration or time.",
            position=start,
            length=len(word[0]) if word else 1,
            expected="e.g. 0.1, 1e-3, 90s, -7d, 2026-11-21 or 2026-11-21T06:40",
        )
    raise FilterError(f"“{text[start]}” means nothing here.", position=start)


def _string_at(text: str, start: int) -> Token:
    found = _STRING.match(text, start)
    if found is None:
        raise FilterError("This text has no closing quote.", position=start, length=len(text) - start)
    return Token(Kind.STRING, found[0], start, value=_ESCAPED.sub(r"\1", found[0][1:-1]))


def _path_at(text: str, start: int, end: int) -> Token:
    parts = [(text[start:end], False)]
    while text[end : end + 1] == ".":
        if text[end + 1 : end + 2] in ('"', "'"):
            part = _string_at(text, end + 1)
            parts.append((part.value, True))
            end = part.end
        elif found := _PART.match(text, end + 1):
            parts.append((found[0], False))
            end = found.end()
        else:  # "config." while it is being typed
            parts.append(("", False))
            end += 1
    return Token(Kind.PATH, text[start:end], start, parts=tuple(parts))
