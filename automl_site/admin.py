"""What the admin pages of all apps share."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from automl_site.errors import DomainError

admin.site.site_header = "Operations"
admin.site.site_title = "Operations"
admin.site.index_title = "Everything there is"


class TruthAdmin(admin.ModelAdmin):
    """Rows that only services write: operators read them, and act on them through actions."""

    show_full_result_count = False  # a second COUNT over the whole table, for a number nobody reads
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def act_on_each(request: HttpRequest, rows: QuerySet, act: Any, *, done: str) -> None:
    """Call a service for each chosen row; say how many it was done to, and why not to the others."""
    count = 0
    for row in rows:
        try:
            act(row)
            count += 1
        except DomainError as error:
            messages.warning(request, f"{row}: {error.message}")
    if count:
        messages.success(request, f"{count} {done}.")
