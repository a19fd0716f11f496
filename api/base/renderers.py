"""JSON out, by orjson."""

from typing import Any

import orjson
from rest_framework import renderers
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.utils.encoders import JSONEncoder

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
_plain = JSONEncoder().default  # Decimal, lazy strings, querysets


def dumps(data: Any, *, indent: bool = False) -> bytes:
    """JSON as UTF-8 bytes. NaN and infinities must have been turned into strings before.

    Here they would become null.
    """
    options = _OPTIONS | (orjson.OPT_INDENT_2 if indent else 0)
    try:
        return orjson.dumps(data, default=_plain, option=options)
    except TypeError:  # "Integer exceeds 64-bit range"
        return orjson.dumps(_with_floats(data), default=_plain, option=options)


def _with_floats(data: Any) -> Any:
    """The data, its integers beyond 64 bits as floats again: PostgreSQL's jsonb gives 1e308 back as 309 digits."""
    if isinstance(data, dict):
        return {key: _with_floats(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_with_floats(value) for value in data]
    if isinstance(data, int) and not -(2**63) <= data < 2**64:
        return float(data)
    return data


class JSONRenderer(renderers.JSONRenderer):
    """DRF's, four times as fast on lists of points."""

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: dict[str, Any] | None = None
    ) -> bytes:
        if data is None:
            return b""
        return dumps(data, indent=self.get_indent(accepted_media_type or "", renderer_context or {}) is not None)


class LenientNegotiation(DefaultContentNegotiation):
    """A client that asks for a type that we do not have gets JSON: no contract knows the status 406."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[renderers.BaseRenderer, str]:
        from rest_framework.exceptions import NotAcceptable

        try:
            return super().select_renderer(request, renderers, format_suffix)
        except NotAcceptable:
            return renderers[0], renderers[0].media_type
