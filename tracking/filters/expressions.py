"""What both databases read out of a run's JSON columns in the same way.

A value of one JSON type never equals one of another: 1, "1" and true are three values, and a key that is missing is
none. SQLite tells a value's type by JSON_TYPE, PostgreSQL by jsonb_typeof; a value of another type reads as NULL.
Numbers are compared as double precision, as Python and JavaScript read them; texts by code point.
"""

import json
from collections.abc import Sequence
from typing import Any

from django.db.models import BooleanField, F, FloatField, Func, IntegerField, TextField

from tracking.filters.like import as_glob, as_like

Compiled = tuple[str, tuple[Any, ...]]  # SQL and its parameters


class _Json(Func):
    """A value inside a JSON column. Its parameters repeat as often as the template names it."""

    sqlite = ""  # with {type} and {value}
    postgres = ""  # with {json}: the value as jsonb
    arity = 1

    def __init__(self, column: str, path: Sequence[str], **extra: Any) -> None:
        self.path = tuple(path)
        super().__init__(F(column), **extra)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Compiled:
        sql, params = compiler.compile(self.source_expressions[0])
        where = "$" + "".join(f".{json.dumps(part)}" for part in self.path)
        parts = {"type": f"JSON_TYPE({sql}, %s)", "value": f"JSON_EXTRACT({sql}, %s)"}
        return self.sqlite.format(**parts), (*params, where) * self.sqlite.count("{")

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Compiled:
        sql, params = compiler.compile(self.source_expressions[0])
        inner = f"({sql}" + " -> %s::text" * len(self.path) + ")"
        return self.postgres.format(json=inner), (*params, *self.path) * self.postgres.count("{json}")


class JsonNumber(_Json):
    sqlite = "(CASE WHEN {type} IN ('integer', 'real') THEN CAST({value} AS REAL) END)"
    postgres = "(CASE WHEN jsonb_typeof({json}) = 'number' THEN ({json} #>> '{{}}')::double precision END)"
    output_field = FloatField()


class JsonText(_Json):
    sqlite = "(CASE WHEN {type} = 'text' THEN {value} END)"
    postgres = "(CASE WHEN jsonb_typeof({json}) = 'string' THEN ({json} #>> '{{}}') COLLATE \"C\" END)"
    output_field = TextField()


class JsonBoolean(_Json):
    """1 or 0 (a number, so that NULL and false stay two things under NOT)."""

    sqlite = "(CASE {type} WHEN 'true' THEN 1 WHEN 'false' THEN 0 END)"
    postgres = "(CASE {json} WHEN 'true'::jsonb THEN 1 WHEN 'false'::jsonb THEN 0 END)"
    output_field = IntegerField()


class JsonPresent(_Json):
    """Whether something stands there, and not null."""

    sqlite = "(COALESCE({type}, 'null') <> 'null')"
    postgres = "(COALESCE(jsonb_typeof({json}), 'null') <> 'null')"
    output_field = BooleanField()


class JsonWord(_Json):
    """A text, true or false, as text: what a column is sorted by after its numbers."""

    sqlite = "(CASE {type} WHEN 'text' THEN {value} WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' END)"
    postgres = "(CASE WHEN jsonb_typeof({json}) IN ('string', 'boolean') THEN ({json} #>> '{{}}') COLLATE \"C\" END)"
    output_field = TextField()


class ByCodePoint(Func):
    """A text that is compared and sorted by code point, whatever the database's locale."""

    arity = 1
    template = "%(expressions)s"
    output_field = TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Compiled:
        return super().as_sql(compiler, connection, template='(%(expressions)s COLLATE "C")', **context)


class _Condition(Func):
    """A condition on one column, written out for each database; `{column}` stands once in each."""

    arity = 1
    output_field = BooleanField()
    sqlite = ""
    postgres = ""
    sqlite_params: tuple[str, ...] = ()
    postgres_params: tuple[str, ...] = ()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Compiled:
        sql, params = compiler.compile(self.source_expressions[0])
        return self.sqlite.format(column=sql), (*params, *self.sqlite_params)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Compiled:
        sql, params = compiler.compile(self.source_expressions[0])
        return self.postgres.format(column=sql), (*params, *self.postgres_params)


class IsLike(_Condition):
    """Whether a text is like a pattern, case and all. (SQLite's LIKE ignores the case of ASCII; its GLOB does not.)"""

    sqlite = "({column} GLOB %s)"
    postgres = "({column} LIKE %s)"

    def __init__(self, text: Any, pattern: str) -> None:
        self.sqlite_params, self.postgres_params = (as_glob(pattern),), (as_like(pattern),)
        super().__init__(text)


class HasTag(_Condition):
    """Whether a JSON list of texts has this one."""

    sqlite = "EXISTS (SELECT 1 FROM JSON_EACH({column}) WHERE type = 'text' AND value = %s)"
    postgres = "({column} @> %s::jsonb)"

    def __init__(self, column: str, tag: str) -> None:
        self.sqlite_params, self.postgres_params = (tag,), (json.dumps([tag]),)
        super().__init__(F(column))


class IsEmptyList(_Condition):
    """Whether a JSON column holds no list, or one of nothing."""

    sqlite = "(COALESCE(JSON_ARRAY_LENGTH({column}), 0) = 0)"
    postgres = "({column} = '[]'::jsonb)"


class OneOf(_Condition):
    """Whether a key is among these, however many: as one parameter, of which both databases take few thousands."""

    sqlite = "({column} IN (SELECT value FROM JSON_EACH(%s)))"
    postgres = "({column} IN (SELECT value::bigint FROM jsonb_array_elements_text(%s::jsonb)))"

    def __init__(self, key: str, keys: Sequence[int]) -> None:
        self.sqlite_params = self.postgres_params = (json.dumps(list(keys)),)
        super().__init__(F(key))


class Seconds(Func):
    """From one time to another, in seconds, to the millisecond (SQLite's functions know no finer)."""

    arity = 2
    output_field = FloatField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Compiled:
        return super().as_sql(compiler, connection, template=_SQLITE_SECONDS, arg_joiner=") - JULIANDAY(", **context)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Compiled:
        return super().as_sql(compiler, connection, template=_POSTGRES_SECONDS, arg_joiner=" - ", **context)


_SQLITE_SECONDS = "ROUND((JULIANDAY(%(expressions)s)) * 86400.0, 3)"
_POSTGRES_SECONDS = "ROUND(EXTRACT(EPOCH FROM (%(expressions)s)), 3)::double precision"
