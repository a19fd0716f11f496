"""Operators' pages for users, keys, projects, runs and what runs leave behind."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from automl_site.admin import OperatorAdmin, TruthAdmin, act_on_each, shortened
from automl_site.errors import Conflict
from tracking import store
from tracking.admin_forms import PasswordForm, ProjectForm, UserAddForm, UserChangeForm
from tracking.models import (
    ApiKey,
    IdempotencyKey,
    LogLine,
    MetricChunk,
    MetricCounter,
    MetricSegment,
    MetricSeries,
    Project,
    ProjectMember,
    Run,
    RunEnvironment,
    RunEvent,
    SavedView,
    User,
    UserRate,
)
from tracking.services.accounts import api_key_revoke, user_activate, user_deactivate
from tracking.services.saved_views import saved_view_delete
from tracking.services.trash import project_restore, project_trash, run_restore, run_trash

SPARKLINE_POINTS = 60
SPARKLINE_SIZE = (160, 32)
PAYLOAD_CHARACTERS = 200  # of an event, in the list
# A run's own long fields: lists of what belongs to it show no more than its name.
RUN_DEFER = ("config", "notes", "tags")
OF_RUN_DEFER = tuple(f"run__{field}" for field in RUN_DEFER)


@admin.register(User)
class UserAdmin(OperatorAdmin, DjangoUserAdmin):
    form = UserChangeForm
    add_form = UserAddForm
    change_password_form = PasswordForm
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("username", "email", "password1", "password2")}),)
    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", "last_login", "created_at")
    list_filter = ("is_active", "is_staff", "is_superuser", "created_at")
    search_fields = ("username", "email", "first_name", "last_name")
    readonly_fields = ("last_login", "date_joined", "created_at", "updated_at")
    ordering = ("username",)
    actions = ["deactivate", "activate"]

    def get_form(self, request: HttpRequest, obj: User | None = None, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, **kwargs)
        form.is_own = obj is not None and obj.pk == request.user.pk
        return form

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        wanted = obj.is_active
        if change and "is_active" in form.changed_data:
            obj.is_active = not wanted  # as it was: what follows from the change is the services' affair
        super().save_model(request, obj, form, change)
        if obj.is_active != wanted:
            (user_activate if wanted else user_deactivate)(user=obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # deactivating keeps what others build on; deleting would take their models away

    @admin.action(description="Deactivate the chosen users (their tokens end at once)")
    def deactivate(self, request: HttpRequest, users: QuerySet[User]) -> None:
        def deactivate(user: User) -> None:
            if user == request.user:
                raise Conflict("You cannot shut yourself out; ask another operator.")
            user_deactivate(user=user)

        act_on_each(request, users, deactivate, done="deactivated")

    @admin.action(description="Activate the chosen users")
    def activate(self, request: HttpRequest, users: QuerySet[User]) -> None:
        act_on_each(request, users, lambda user: user_activate(user=user), done="activated")


@admin.register(ApiKey)
class ApiKeyAdmin(TruthAdmin):
    list_display = ("prefix", "name", "owner", "created_at", "expires_at", "last_used_at", "revoked_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), "created_at")
    search_fields = ("prefix", "name", "owner__username")
    list_select_related = ("owner",)
    exclude = ("digest",)
    actions = ["revoke"]

    @admin.action(description="Revoke the chosen keys")
    def revoke(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        act_on_each(request, keys, lambda key: api_key_revoke(key=key), done="revoked")


class MemberInline(admin.TabularInline):
    model = ProjectMember
    extra = 0
    autocomplete_fields = ("user",)


@admin.register(Project)
class ProjectAdmin(OperatorAdmin):
    list_display = ("id", "name", "owner", "kind", "is_public", "run_count", "created_at", "deleted_at")
    list_filter = ("is_public", "kind", ("deleted_at", admin.EmptyFieldListFilter), "created_at")
    search_fields = ("name", "description", "owner__username")
    list_select_related = ("owner",)
    autocomplete_fields = ("owner",)
    readonly_fields = ("kind", "created_at", "updated_at", "deleted_at")
    form = ProjectForm
    inlines = [MemberInline]
    actions = ["trash", "restore"]

    def get_readonly_fields(self, request: HttpRequest, obj: Project | None = None) -> tuple[str, ...]:
        # Each user has one project that jobs go to; it would be the new owner's second.
        own_jobs = obj is not None and obj.kind == Project.Kind.JOBS
        return (*self.readonly_fields, "owner") if own_jobs else self.readonly_fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Project]:
        return super().get_queryset(request).annotate(runs_in_it=Count("runs"))

    @admin.display(description="runs")
    def run_count(self, project: Project) -> int:
        return project.runs_in_it

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # the trash is the way; a cascade here would take runs and models along

    @admin.action(description="Put the chosen projects into the trash")
    def trash(self, request: HttpRequest, projects: QuerySet[Project]) -> None:
        def trash(project: Project) -> None:
            project_trash(user=request.user, project_id=project.pk)

        act_on_each(request, projects, trash, done="trashed")

    @admin.action(description="Restore the chosen projects from the trash")
    def restore(self, request: HttpRequest, projects: QuerySet[Project]) -> None:
        def restore(project: Project) -> None:
            project_restore(user=request.user, project_id=project.pk)

        act_on_each(request, projects, restore, done="restored")


@admin.register(ProjectMember)
class ProjectMemberAdmin(OperatorAdmin):
    list_display = ("project", "user", "role", "created_at")
    list_filter = ("role",)
    search_fields = ("project__name", "user__username")
    list_select_related = ("project", "user")
    autocomplete_fields = ("project", "user")


@admin.register(Run)
class RunAdmin(TruthAdmin):
    list_display = ("id", "name", "project", "status", "started_at", "ended_at")
    list_filter = ("status", ("deleted_at", admin.EmptyFieldListFilter), "created_at")
    search_fields = ("name", "project__name")
    list_select_related = ("project",)
    list_defer = RUN_DEFER
    exclude = ("config",)
    readonly_fields = ("config_shown",)
    actions = ["trash", "restore"]
    config_shown = shortened("config")

    @admin.action(description="Put the chosen runs into the trash")
    def trash(self, request: HttpRequest, runs: QuerySet[Run]) -> None:
        act_on_each(request, runs, lambda run: run_trash(user=request.user, run_id=run.pk), done="trashed")

    @admin.action(description="Restore the chosen runs from the trash")
    def restore(self, request: HttpRequest, runs: QuerySet[Run]) -> None:
        act_on_each(request, runs, lambda run: run_restore(user=request.user, run_id=run.pk), done="restored")


@admin.register(RunEnvironment)
class RunEnvironmentAdmin(TruthAdmin):
    list_display = ("run", "project", "updated_at")
    search_fields = ("run__name", "run__project__name")
    list_filter = ("updated_at", "run__status")
    list_select_related = ("run__project",)
    list_defer = (*OF_RUN_DEFER, "environment", "git")
    exclude = ("environment", "git")
    readonly_fields = ("environment_shown", "git_shown")
    environment_shown = shortened("environment")
    git_shown = shortened("git")

    @admin.display(description="project", ordering="run__project__name")
    def project(self, row: RunEnvironment) -> str:
        return row.run.project.name


@admin.register(SavedView)
class SavedViewAdmin(TruthAdmin):
    list_display = ("name", "project", "owner", "is_shared", "updated_at")
    search_fields = ("name", "project__name", "owner__username")
    list_filter = ("is_shared", "updated_at")
    list_select_related = ("project", "owner")
    list_defer = ("address",)
    actions = ["remove"]

    @admin.action(description="Delete the chosen views")
    def remove(self, request: HttpRequest, views: QuerySet[SavedView]) -> None:
        def remove(view: SavedView) -> None:
            saved_view_delete(user=request.user, project=view.project, view_id=view.pk)

        act_on_each(request, views, remove, done="deleted")


@admin.register(MetricSeries)
class MetricSeriesAdmin(TruthAdmin):
    list_display = ("run", "name", "count", "last_value", "min_value", "max_value", "mean")
    search_fields = ("name", "run__name")
    list_filter = ("run__status",)
    list_select_related = ("run",)
    list_defer = OF_RUN_DEFER
    # On a series' own page only: the points of fifty series would be fifty reads.
    readonly_fields = ("sparkline", "mean")

    @admin.display(description="mean")
    def mean(self, series: MetricSeries) -> str:
        return f"{series.sum_value / series.number_count:.4g}" if series.number_count else "–"

    @admin.display(description="sparkline")
    def sparkline(self, series: MetricSeries) -> SafeString:
        thinned = store.read_thinned(series.run_id, [series.name], max_points=SPARKLINE_POINTS)
        values: Iterable[Any] = thinned[series.name].columns.values if series.name in thinned else []
        return sparkline_svg([float(value) for value in values])


def sparkline_svg(values: list[float]) -> SafeString:
    """A small line of these values; NaN and infinities leave gaps."""
    width, height = SPARKLINE_SIZE
    numbers = [value for value in values if value == value and abs(value) != float("inf")]
    if len(numbers) < 2:
        return format_html("<span>{}</span>", "–" if not numbers else f"{numbers[0]:.4g}")
    low, high = min(numbers), max(numbers)
    scale = (high - low) or 1.0
    step = width / (len(numbers) - 1)
    points = " ".join(f"{i * step:.1f},{height - (v - low) / scale * height:.1f}" for i, v in enumerate(numbers))
    return format_html(
        '<svg width="{}" height="{}" viewBox="0 0 {} {}" role="img" aria-label="{} points from {} to {}">'
        '<polyline points="{}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>',
        width,
        height,
        width,
        height,
        len(numbers),
        f"{numbers[0]:.4g}",
        f"{numbers[-1]:.4g}",
        points,
    )


@admin.register(MetricSegment)
class MetricSegmentAdmin(TruthAdmin):
    list_display = ("run", "seq", "count", "first_id")
    search_fields = ("run__name",)
    list_filter = ("run__status",)
    list_select_related = ("run",)
    exclude = ("payload",)
    list_defer = ("payload", *OF_RUN_DEFER)


@admin.register(MetricChunk)
class MetricChunkAdmin(TruthAdmin):
    list_display = ("run", "series", "count", "min_step", "max_step", "is_open")
    search_fields = ("run__name", "series__name")
    list_filter = ("is_open",)
    list_select_related = ("run", "series")
    exclude = ("coarse", "payload")
    list_defer = (*exclude, *OF_RUN_DEFER)


@admin.register(LogLine)
class LogLineAdmin(TruthAdmin):
    list_display = ("run", "seq", "time", "level", "message")
    list_filter = ("level",)
    search_fields = ("message", "run__name")
    list_select_related = ("run",)
    list_defer = OF_RUN_DEFER


@admin.register(RunEvent)
class RunEventAdmin(TruthAdmin):
    list_display = ("run", "seq", "kind", "payload_begun", "created_at")
    list_filter = ("kind",)
    search_fields = ("run__name",)
    list_select_related = ("run",)
    list_defer = OF_RUN_DEFER
    exclude = ("payload",)
    readonly_fields = ("payload_shown",)
    payload_begun = shortened("payload", characters=PAYLOAD_CHARACTERS)
    payload_shown = shortened("payload")


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(TruthAdmin):
    list_display = ("key", "user", "run", "created_at")
    list_filter = ("created_at",)
    search_fields = ("key", "run__name", "user__username")
    list_select_related = ("user", "run")
    list_defer = ("answer", *OF_RUN_DEFER)
    exclude = ("answer",)
    readonly_fields = ("answer_shown",)
    answer_shown = shortened("answer")


@admin.register(UserRate)
class UserRateAdmin(OperatorAdmin):
    """A user's own limits; one takes effect within seconds."""

    list_display = ("user", "name", "rate")
    list_filter = ("name",)
    search_fields = ("user__username",)
    list_select_related = ("user",)
    autocomplete_fields = ("user",)


@admin.register(MetricCounter)
class MetricCounterAdmin(TruthAdmin):
    list_display = ("id", "next_id")
    search_fields = ("id",)
    list_filter = ()
