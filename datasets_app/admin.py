"""Operators' pages for data sets."""

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from automl_site.admin import TruthAdmin, act_on_each, shortened
from datasets_app.models import Blob, Dataset
from datasets_app.services import dataset_restore, dataset_trash


@admin.register(Dataset)
class DatasetAdmin(TruthAdmin):
    list_display = ("public_id", "filename", "format", "rows", "size_bytes", "owner", "created_at", "deleted_at")
    list_filter = ("format", ("deleted_at", admin.EmptyFieldListFilter), "created_at")
    search_fields = ("public_id", "filename", "owner__username")
    list_select_related = ("owner",)
    list_defer = exclude = ("columns", "schema", "analysis")
    readonly_fields = ("columns_shown", "schema_shown", "analysis_shown")
    actions = ["trash", "restore"]
    columns_shown = shortened("columns")
    schema_shown = shortened("schema")
    analysis_shown = shortened("analysis")

    @admin.action(description="Put the chosen data sets into the trash")
    def trash(self, request: HttpRequest, datasets: QuerySet[Dataset]) -> None:
        act_on_each(request, datasets, lambda row: dataset_trash(user=request.user, dataset=row), done="trashed")

    @admin.action(description="Restore the chosen data sets from the trash")
    def restore(self, request: HttpRequest, datasets: QuerySet[Dataset]) -> None:
        act_on_each(request, datasets, lambda row: dataset_restore(user=request.user, dataset=row), done="restored")


@admin.register(Blob)
class BlobAdmin(TruthAdmin):
    list_display = ("sha256", "owner", "size_bytes", "uses", "created_at")
    list_filter = ("created_at",)
    search_fields = ("sha256", "key", "owner__username")
    list_select_related = ("owner",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Blob]:
        return super().get_queryset(request).annotate(dataset_count=Count("datasets"))

    @admin.display(description="data sets")
    def uses(self, blob: Blob) -> int:
        return blob.dataset_count
