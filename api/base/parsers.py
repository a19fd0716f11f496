"""JSON and forms in, within bounds."""

import json
import re
from typing import IO, Any

import orjson
from django.conf import settings
from django.http import QueryDict
from rest_framework import parsers
from rest_framework.exceptions import ParseError

from api.base.renderers import JSONRenderer
from automl_site.errors import InvalidSpec, TooLarge

MAX_DEPTH = 64
INTEGER_RANGE = (-(2**63), 2**64 - 1)  # what can be answered again as JSON, and what databases keep
LARGE_INTEGER = "An integer in the request is larger than 64 bits."
_LONG_INTEGER = re.compile(rb"\d{19}")
_CONSTANT = re.compile(rb"[^\w\"](?:NaN|Infinity)")  # outside of a text, or in one that goes the slower way for it


def read_bounded(stream: IO[bytes], context: dict[str, Any]) -> bytes:
    """The whole body. Raises TooLarge beyond DATA_UPLOAD_MAX_MEMORY_SIZE: Django checks only what it reads itself."""
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    request = context.get("request")
    announced = int((request.META.get("CONTENT_LENGTH") if request else 0) or 0)
    body = b"" if announced > limit else stream.read(limit + 1)
    if announced > limit or len(body) > limit:
        size = f"{announced:,}" if announced > limit else f"more than {limit:,}"
        raise TooLarge(f"The request body has {size} bytes; at most {limit:,} are taken.")
    return body


def _refuse_constant(name: str) -> float:
    raise ParseError(f"Malformed JSON: {name} is no JSON number.")


def loads(body: bytes, *, allow_nan: bool = False) -> Any:
    """JSON from bytes, as UTF-8 (a byte order mark is skipped), UTF-16 or UTF-32.

    Raises ParseError for what is no JSON, and InvalidSpec for JSON that we cannot keep: nested deeper than 64 levels,
    integers beyond 64 bits, NUL characters (PostgreSQL has no place for them), halves of surrogate pairs. With
    `allow_nan` Python's literals `NaN`, `Infinity` and `-Infinity` are taken.
    """
    encoding = json.detect_encoding(body)
    try:
        # A lone low byte of a UTF-16 text is a client's bug; it is never guessed at.
        text = body if encoding == "utf-8" else body.decode(encoding).encode()
        if not text.strip():
            return {}
        # orjson knows no NaN, and makes floats of integers beyond 64 bits.
        if _LONG_INTEGER.search(text) or _CONSTANT.search(text):
            data = json.loads(text, parse_constant=None if allow_nan else _refuse_constant)
            _check(data, allow_nan=allow_nan)
        else:
            data = orjson.loads(text)
            if text.count(b"[") + text.count(b"{") > MAX_DEPTH or b"\\u0000" in text:
                _check(data, allow_nan=allow_nan)
    except RecursionError:
        raise InvalidSpec(f"The JSON is nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError as error:
        if "depth limit" in str(error):
            raise InvalidSpec(f"The JSON is nested deeper than {MAX_DEPTH} levels.") from None
        if "integer string conversion" in str(error):  # Python's own limit, which it tells in its own terms
            raise InvalidSpec(LARGE_INTEGER) from None
        raise ParseError(f"Malformed JSON: {error}") from None
    return data


def _check(data: Any, *, allow_nan: bool) -> None:
    """Walk the data level by level (a recursion would end where the nesting is too deep)."""
    level, depth = [data], 0
    while level:
        if depth > MAX_DEPTH:
            raise InvalidSpec(f"The JSON is nested deeper than {MAX_DEPTH} levels.")
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                for key in value:
                    _check_text(key)
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
            elif isinstance(value, str):
                _check_text(value)
            elif isinstance(value, int) and not INTEGER_RANGE[0] <= value <= INTEGER_RANGE[1]:
                raise InvalidSpec(LARGE_INTEGER)
            elif isinstance(value, float) and not allow_nan and value in (float("inf"), float("-inf")):
                raise InvalidSpec("A number in the request is larger than a double can hold.")
        level, depth = below, depth + 1


def _check_text(text: str) -> None:
    if "\0" in text:
        raise InvalidSpec("Text must not contain NUL characters.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidSpec("Text must not contain halves of surrogate pairs.") from None


class JSONParser(parsers.JSONParser):
    """DRF's, bounded and strict. A view that takes NaN sets `allow_nan_json = True`."""

    renderer_class = JSONRenderer

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: dict[str, Any] | None = None
    ) -> Any:
        context = parser_context or {}
        return loads(read_bounded(stream, context), allow_nan=getattr(context.get("view"), "allow_nan_json", False))


class FormParser(parsers.FormParser):
    """application/x-www-form-urlencoded, bounded."""

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: dict[str, Any] | None = None
    ) -> QueryDict:
        return QueryDict(read_bounded(stream, parser_context or {}), encoding="utf-8")
