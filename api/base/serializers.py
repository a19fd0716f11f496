"""The base of every request body's serializer."""

import difflib
from collections.abc import Mapping
from typing import Any

from rest_framework import serializers


class StrictSerializer(serializers.Serializer):
    """Takes JSON's own types, and refuses fields that it does not know, naming the nearest known one.

    Read-only fields, and those in `ignored`, may be sent and are not looked at: what was read can be sent back.
    """

    ignored: tuple[str, ...] = ()

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            known = set(self.fields) | set(self.ignored)
            errors = {
                str(name): [serializers.ErrorDetail(self._unknown(str(name)), code="unknown")]
                for name in data
                if name not in known
            }
            if errors:
                raise serializers.ValidationError(errors)
        return super().to_internal_value(data)

    def _unknown(self, name: str) -> str:
        writable = [known for known, field in self.fields.items() if not field.read_only]
        near = difflib.get_close_matches(name[:100], writable, n=1)
        advice = f"did you mean '{near[0]}'?" if near else f"known are: {', '.join(writable)}."
        return f"Unknown field '{name[:100]}'; {advice}"
