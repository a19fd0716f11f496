"""What the admin pages of all apps share."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from automl_site.errors import DomainError, InvalidSpec

admin.site.site_header = "Operations"
admin.site.site_title = "Operations"
admin.site.index_title = "Everything there is"


# Each word of a search is a condition a field; SQLite takes no expression deeper than 1,000.
SEARCH_WORDS = 20


SHOWN_CHARACTERS = 2000


def shortened(field: str, *, characters: int = SHOWN_CHARACTERS) -> Callable[[Any, Any], str]:
    """A column for a JSON field that can hold megabytes: its first `characters`, and how many there are.

    As an attribute of an admin class it stands in `fields` and `readonly_fields` under the attribute's name.
    """

    @admin.display(description=field.replace("_", " "))
    def shown(_: Any, row: Any) -> str:
        value = getattr(row, field)
        if value is None:
            return "–"
        text = json.dumps(value, ensure_ascii=False)
        if len(text) <= characters:
            return text
        return f"{text[:characters]}… (the first {characters:,} of {len(text):,} characters)"

    return shown


class OperatorAdmin(admin.ModelAdmin):
    """A list of any length, and addresses and forms that no page has made."""

    show_full_result_count = False  # a second COUNT over the whole table, for a number nobody reads
    list_per_page = 50
    list_defer: Sequence[str] = ()  # fields of megabytes, which only a row's own page reads

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows = super().get_queryset(request)
        page = request.resolver_match.url_name if request.resolver_match else ""
        return rows.defer(*self.list_defer) if page.endswith("_changelist") else rows

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        words = search_term.split()
        if len(words) > SEARCH_WORDS:
            messages.warning(request, f"Searched for the first {SEARCH_WORDS} of {len(words)} words.")
            search_term = " ".join(words[:SEARCH_WORDS])
        return super().get_search_results(request, queryset, search_term)

    def response_action(self, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        chosen = request.POST.getlist(ACTION_CHECKBOX_NAME)
        try:
            queryset.filter(pk__in=chosen)  # not asked: a value that cannot be an id is refused here
        except (ValueError, ValidationError):
            chosen = []
        if not chosen or "\x00" in "".join(chosen):
            messages.error(request, "Choose rows of this list. Nothing was done.")
            return None
        return super().response_action(request, queryset)


class TruthAdmin(OperatorAdmin):
    """Rows that only services write: operators read them, and act on them through actions."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def act_on_each(request: HttpRequest, rows: Iterable[Any], act: Callable[[Any], object], *, done: str) -> None:
    """Call a service for each chosen row; say how many it was done to, and why not to the others."""
    count = 0
    for row in rows:
        try:
            act(row)
            count += 1
        except DomainError as error:
            sentence = error.first_sentence() if isinstance(error, InvalidSpec) else error.message
            messages.warning(request, f"{row}: {sentence}")
    if count:
        messages.success(request, f"{count} {done}.")


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(OperatorAdmin, DjangoGroupAdmin):
    """Django's own, as an OperatorAdmin."""
