"""Fields that take JSON's own types only, and the contracts' two ways to write a time."""

import datetime
import math
from typing import Any

from rest_framework import serializers

MAX_INTEGER = 2**63 - 1


class StrictBooleanField(serializers.BooleanField):
    """true or false; "false" is a string."""

    default_error_messages = {"invalid": "Must be true or false."}

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


class StrictCharField(serializers.CharField):
    """A string; 123 is a number."""

    default_error_messages = {"invalid": "Must be a string."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class StrictIntegerField(serializers.IntegerField):
    """A whole number of at most 63 bits (5.0 is one, "5" and true are not)."""

    default_error_messages = {"invalid": "Must be a whole number."}

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_value", MAX_INTEGER)
        kwargs.setdefault("min_value", -MAX_INTEGER - 1)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        if isinstance(data, float) and not (math.isfinite(data) and data.is_integer()):
            self.fail("invalid")
        return int(data)


class StrictFloatField(serializers.FloatField):
    """A finite number."""

    default_error_messages = {"invalid": "Must be a number."}

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        try:
            number = float(data)
        except OverflowError:  # an integer that no float can hold
            number = math.inf
        if not math.isfinite(number):
            self.fail("invalid")
        return number


class UtcZDateTimeField(serializers.DateTimeField):
    """ "2024-01-15T10:30:00Z": UTC with `Z`, to the second (job-queue, llm-pipelines)."""

    def to_representation(self, value: datetime.datetime | None) -> str | None:
        return utc_z(value)


class NaiveUtcDateTimeField(serializers.DateTimeField):
    """ "2023-01-01T00:00:00": UTC without zone, microseconds where there are any (tracking)."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("default_timezone", datetime.UTC)
        super().__init__(**kwargs)

    def to_representation(self, value: datetime.datetime | str | None) -> str | None:
        return value if isinstance(value, str) else naive_utc(value)  # a string: of a document's example


def utc_z(value: datetime.datetime | None) -> str | None:
    return None if value is None else value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def naive_utc(value: datetime.datetime | None) -> str | None:
    return None if value is None else value.astimezone(datetime.UTC).replace(tzinfo=None).isoformat()
