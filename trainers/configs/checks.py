"""Turns hyperparameters as a caller wrote them into a config, or into sentences that say what to change."""

import difflib
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from trainers.protocol import ConfigProblem

SHOWN = 60  # characters of an offending value that a sentence repeats
UNKNOWN_SHOWN = 20  # unknown fields that an answer lists
INTEGER_DIGITS = 400  # longer integers cannot be any number that a trainer takes

Config = TypeVar("Config", bound=BaseModel)


def check(
    config: type[Config], values: Mapping[str, Any], *, noun: str = "hyperparameter of this model type"
) -> Config:
    """The config made of `values`. Raises ConfigProblem with every problem found: details {field: [sentences]}.

    `noun` is what an unknown name is said not to be.
    """
    if not isinstance(values, Mapping):
        raise problem({"hyperparameters": ["must be an object of names and values."]})
    is_open = config.model_config.get("extra") == "allow"  # what else there is knows only who has the framework
    unknown = [] if is_open else [name for name in values if name not in config.model_fields]
    problems = {str(name)[:SHOWN]: [_unknown_field(config, str(name), noun)] for name in unknown[:UNKNOWN_SHOWN]}
    known = {name: value for name, value in values.items() if is_open or name in config.model_fields}
    try:
        checked = config.model_validate(known)
    except ValidationError as error:
        properties = config.model_json_schema()["properties"] if config.model_fields else {}
        for item in error.errors(include_url=False):
            if item["type"] == "cross_field":
                problems.update(item["ctx"]["problems"])
            else:
                name = str(item["loc"][0])
                problems[name] = [f"must be {in_words(properties[name])}; got {shown(known.get(name))}."]
    except RecursionError:
        problems["hyperparameters"] = ["are nested too deeply."]
    if problems:
        raise problem(problems)
    return checked


def problem(problems: Mapping[str, list[str]]) -> ConfigProblem:
    """The exception that carries these sentences; its message is the first one."""
    name, sentences = next(iter(problems.items()))
    return ConfigProblem(f"{name} {sentences[0]}", details=problems)


def in_words(schema: Mapping[str, Any]) -> str:
    """What a JSON schema allows, in plain words: "a whole number from 1 to 100000, or null"."""
    if "anyOf" in schema:  # each option may hold commas itself
        options = list(dict.fromkeys(in_words(option) for option in schema["anyOf"]))
        return "; or ".join(options)
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(json.dumps(option) for option in schema["enum"])
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + _bounds(schema)
    if kind == "object":
        return f"an object whose values are {in_words(schema['additionalProperties'])}"
    if kind == "array":
        return f"a list whose items are {in_words(schema['items'])}"
    if kind == "string":
        return f"a text of {schema.get('minLength', 0)} to {schema.get('maxLength', 'any number of')} characters"
    return {"boolean": "true or false", "null": "null"}[str(kind)]


def shown(value: Any) -> str:
    """A value as a sentence can repeat it: short, on one line, and never failing."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**INTEGER_DIGITS:
        return "an integer of more than 400 digits"  # Python itself refuses to print very long ones
    if isinstance(value, Mapping):
        return f"an object of {len(value)} entries" if value else "an empty object"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)} items"
    try:
        text = json.dumps(value, ensure_ascii=True)
    except (TypeError, ValueError):
        text = f"a {type(value).__name__}"
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def from_text(config: type[BaseModel], fields: Mapping[str, str]) -> dict[str, Any]:
    """Values for `check` from text, as a form or a shell has it. An empty text is left out, so the default holds.

    "null"/"none", "true"/"false" (in any case), numbers, and JSON objects and lists mean what they say, unless the
    field takes free text, or this very word.
    """
    properties = config.model_json_schema().get("properties", {})
    values: dict[str, Any] = {}
    for name, text in fields.items():
        stripped = text.strip()
        if not stripped:
            continue
        schema = properties.get(name, {})
        values[name] = stripped if _takes_text(schema) or stripped in _words(schema) else _value(stripped)
    return values


def _value(text: str) -> Any:
    """The JSON value that the text spells, else the text. NaN and infinities stay text, which no number field takes."""
    words: dict[str, Any] = {"none": None, "null": None, "true": True, "false": False, "on": True, "off": False}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return text


def _words(schema: Mapping[str, Any]) -> list[Any]:
    """The values that the schema lists: "none" may be one of them."""
    options = schema.get("anyOf", [schema])
    return [word for option in options for word in option.get("enum", [option.get("const")])]


def _takes_text(schema: Mapping[str, Any]) -> bool:
    options = schema.get("anyOf", [schema])
    return any(option.get("type") == "string" and not {"enum", "const"} & set(option) for option in options)


def _bounds(schema: Mapping[str, Any]) -> str:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    words = []
    if low is not None:
        words.append(f"{'above' if 'exclusiveMinimum' in schema else 'of at least'} {_plain(low)}")
    if high is not None:
        words.append(f"{'below' if 'exclusiveMaximum' in schema else 'at most'} {_plain(high)}")
    return " " + " and ".join(words) if words else ""


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() and abs(number) < 1e15 else f"{number:g}"


def _unknown_field(config: type[BaseModel], name: str, noun: str) -> str:
    near = difflib.get_close_matches(name[:SHOWN], config.model_fields, n=1, cutoff=0.6)
    hint = f'Did you mean "{near[0]}"?' if near else f"There are: {', '.join(config.model_fields) or 'none'}."
    return f"is no {noun}. {hint}"
