"""`flush`, which ends every test that commits, in a tenth of the time."""

from typing import Any

from django.core.management.commands import flush
from django.db import connections, transaction

# What the migrations have put there: Django's command takes it away and makes it anew, which is most of its work.
KEPT = {"django_content_type", "auth_permission"}


class Command(flush.Command):
    """Delete all rows. Not TRUNCATE, which on PostgreSQL makes new files for tables and indexes that are empty."""

    def handle(self, *, database: str, **options: Any) -> None:
        connection = connections[database]
        tables = set(connection.introspection.django_table_names()) - KEPT
        statements = [f"DELETE FROM {connection.ops.quote_name(table)}" for table in sorted(tables)]
        # One transaction: which row refers to which is looked at when it ends.
        with transaction.atomic(using=database), connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute(";".join(statements))
            else:
                for statement in statements:
                    cursor.execute(statement)
