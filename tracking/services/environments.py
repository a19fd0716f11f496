"""What a run was made with: machine, packages and code, without the secrets that may stand among them."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from automl_site.errors import InvalidSpec
from tracking import text
from tracking.models import RunEnvironment

MAX_ENVIRONMENT = 256 * 1024  # bytes as JSON
MAX_GIT = 64 * 1024  # bytes as JSON, without the diff
MAX_DIFF = 1024**2  # bytes
MASK = "***"
# What each field of `git` is; a client's other fields would never be shown.
GIT_FIELDS: dict[str, type] = {
    "origin": str,
    "commit": str,
    "branch": str,
    "dirty": bool,
    "diff": str,
    "diff_truncated": bool,
    "untracked": list,
}
_SENSITIVE = r"(?:secret|token|passw|pwd|api[_-]?key|access[_-]?key|private[_-]?key|credential)"
_SECRET_NAME = re.compile(_SENSITIVE, re.IGNORECASE)
_SECRET_ARGUMENT = re.compile(rf"([\w-]*{_SENSITIVE}[\w-]*(?:=|\s+))(\"[^\"]*\"|'[^']*'|\S+)", re.IGNORECASE)
_PASSWORD_IN_URL = re.compile(r"(\w://)[^/\s@]{1,500}@")


def environment_set(
    *, run_id: int, environment: Mapping[str, Any] | None = None, git: Mapping[str, Any] | None = None
) -> None:
    """Keep what is given in the place of what was kept before. The caller has checked who may change the run.

    Raises:
        InvalidSpec: too large, or nothing that JSON and the database can hold; `errors` names the field.
    """
    errors: dict[str, list[str]] = {}
    if environment is not None:
        errors |= _problems("environment", environment, MAX_ENVIRONMENT)
    if git is not None:
        errors |= _git_problems(git)
    if errors:
        raise InvalidSpec(errors=errors)
    values = {}
    if environment is not None:
        values["environment"] = masked(environment)
    if git is not None:
        # A diff is code: masking words in it would change what was run.
        values["git"] = {name: value if name == "diff" else masked(value) for name, value in git.items()}
    if values:
        RunEnvironment.objects.bulk_create(
            [RunEnvironment(run_id=run_id, **values)],
            update_conflicts=True,
            unique_fields=["run"],
            update_fields=[*values, "updated_at"],
        )


def masked(value: Any, *, name: str = "") -> Any:
    """A JSON value without what looks like a secret, by its name, on a command line or in an address."""
    if isinstance(value, Mapping):
        return {key: masked(item, name=key) for key, item in value.items()}
    if _SECRET_NAME.search(name) and value not in (None, "", [], {}):
        return MASK
    if isinstance(value, list | tuple):
        # ["--token", "abc"]: the word after a name of a secret.
        words = ["", *value]
        return [
            MASK
            if isinstance(before, str) and before.startswith("-") and "=" not in before and _SECRET_NAME.search(before)
            else masked(item)
            for before, item in zip(words, value, strict=False)
        ]
    if isinstance(value, str):
        return _PASSWORD_IN_URL.sub(rf"\1{MASK}@", _SECRET_ARGUMENT.sub(rf"\1{MASK}", value))
    return value


def _problems(field: str, value: Mapping[str, Any], limit: int) -> dict[str, list[str]]:
    if problem := text.json_problem(value):
        return {field: [f"It {problem}."]}
    if (size := len(orjson.dumps(value))) > limit:
        return {field: [f"It has {size:,} bytes as JSON; at most {limit:,} are kept."]}
    return {}


def _git_problems(git: Mapping[str, Any]) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    for name, value in git.items():
        kind = GIT_FIELDS.get(name)
        if kind is None:
            errors[f"git.{name[:100]}"] = [f"Unknown field; known are: {', '.join(GIT_FIELDS)}."]
        elif value is not None and not isinstance(value, kind):
            errors[f"git.{name}"] = [f"Must be a {kind.__name__}."]
    diff = git.get("diff")
    if isinstance(diff, str) and (size := len(diff.encode(errors="surrogatepass"))) > MAX_DIFF:
        errors["git.diff"] = [f"It has {size:,} bytes; at most {MAX_DIFF:,} are kept: cut it, set diff_truncated."]
    if errors:
        return errors
    if isinstance(diff, str) and not text.is_storable(diff):
        return {"git.diff": ["It contains a NUL character or half a surrogate pair."]}
    return _problems("git", {name: value for name, value in git.items() if name != "diff"}, MAX_GIT)
