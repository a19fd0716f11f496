"""Form fields from a config's JSON schema: what can be listed is chosen, the rest is typed."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from trainers.configs.checks import in_words

MAX_TEXT = 10_000  # characters
NUMERIC = ("integer", "number")


def field_of(name: str, schema: Mapping[str, Any], columns: Sequence[str] = ()) -> forms.Field:
    """The field of one hyperparameter; left empty, it means the trainer's default. `columns` are those of the data.

    On the field, for the page: `unit` behind its label, and `suggestions`, words that it takes beside numbers.
    """
    common: dict[str, Any] = {"label": schema.get("title", name), "required": False, "help_text": _help(schema)}
    choices = _choices(schema)
    field: forms.Field
    if columns and (name == "target" or name.endswith("_column")):
        first = f"Last column ({columns[-1]})" if name == "target" else "Found by itself"
        field = forms.ChoiceField(choices=[("", first), *((column, column) for column in columns)], **common)
    elif choices:
        default = as_text(schema.get("default"))
        said = {"null": "none", "true": "yes", "false": "no"}.get(default, default)
        field = forms.ChoiceField(choices=[("", f"Default ({said})"), *choices], **common)
    else:
        field = forms.CharField(max_length=MAX_TEXT, widget=_line(name, schema), **common)
    unit = schema.get("unit", "")
    field.unit = "" if unit.lower() == str(field.label).lower() else unit
    field.suggestions = [] if choices else _words(schema)
    return field


def as_text(value: Any) -> str:
    """A hyperparameter as the form's text, which `from_text` turns back into it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value)
    return str(value)


def _options(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    options: list[Mapping[str, Any]] = schema.get("anyOf", [schema])
    return options


def _choices(schema: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(text, words) of all that the field takes; empty where that cannot be listed. Null is left out as a default."""
    choices: list[tuple[str, str]] = []
    for option in _options(schema):
        if "enum" in option or "const" in option:
            values = option.get("enum", [option.get("const")])
            choices += [(as_text(value), as_text(value)) for value in values]
        elif option.get("type") == "boolean":
            choices += [("true", "Yes"), ("false", "No")]
        elif option.get("type") == "null":
            choices += [] if schema.get("default") is None else [("null", "None")]
        else:
            return []
    return choices


def _words(schema: Mapping[str, Any]) -> list[str]:
    """The words that a field of several kinds takes: "auto", "sqrt"."""
    words: list[str] = []
    for option in _options(schema):
        if "enum" in option or "const" in option:
            words += [as_text(value) for value in option.get("enum", [option.get("const")])]
        elif option.get("type") == "null" and schema.get("default") is not None:
            words.append("null")
    return words


def _line(name: str, schema: Mapping[str, Any]) -> forms.TextInput:
    default = schema.get("default")
    takes_text = any(option.get("type") == "string" and "enum" not in option for option in _options(schema))
    if name == "target":
        placeholder = "The last column"
    elif default is None and takes_text:
        placeholder = ""
    else:
        placeholder = f"Default: {'none' if default is None else as_text(default)}"
    attributes = {"placeholder": placeholder, "autocomplete": "off"}
    kinds = {option.get("type") for option in _options(schema)} - ({"null"} if default is None else set())
    if kinds and kinds <= set(NUMERIC):
        attributes["inputmode"] = "decimal" if "number" in kinds else "numeric"
    if _words(schema):
        attributes["list"] = f"options-{name}"
    return forms.TextInput(attrs=attributes)


def _help(schema: Mapping[str, Any]) -> str:
    # Where a field takes things of several kinds, its description tells them apart.
    kinds = {option.get("type") for option in _options(schema)}
    numbers = [option for option in _options(schema) if option.get("type") in NUMERIC]
    allowed = in_words(numbers[0]) if len(numbers) == 1 and kinds <= {*NUMERIC, "null"} and "enum" not in schema else ""
    parts = [schema.get("description", ""), f"Takes {allowed}." if allowed else ""]
    return " ".join(part for part in parts if part)
