"""Fetching payloads."""

from typing import Any

from django.db import connection
from django.db.models import QuerySet


def fetch(rows: QuerySet[Any, Any]) -> list[tuple[Any, ...]]:
    """The rows of a `values_list`, by one statement, with payloads as bytes.

    PostgreSQL is asked for binary results: as text, which Django's cursor asks for, bytes come as hexadecimal digits.
    """
    statement, parameters = rows.query.sql_with_params()
    if connection.vendor == "postgresql":
        from psycopg import Cursor
        from psycopg.pq import Format

        connection.ensure_connection()
        plain = Cursor(connection.connection)
        plain.format = Format.BINARY
        # As Django's own `chunked_cursor` does: errors are worded, and queries counted, as everywhere.
        cursor = connection._prepare_cursor(plain)  # type: ignore[attr-defined]
    else:
        cursor = connection.cursor()
    with cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
