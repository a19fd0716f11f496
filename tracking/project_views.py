"""The projects' list, a new project, and a project's settings: what it is called, who belongs to it, its end."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count, Max, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from automl_site.errors import DomainError, Forbidden, InvalidSpec, NotFound
from tracking import snippets
from tracking.forms import ProjectForm, add_errors
from tracking.models import Project, ProjectMember
from tracking.run_table_views import visible_project
from tracking.selectors.projects import member_list, project_list, project_to_own, project_trash_list
from tracking.services.members import member_add, member_remove, member_role_set
from tracking.services.projects import project_create, project_update
from tracking.services.trash import project_restore, project_trash

PAGE = 50


@login_required
@require_GET
def projects(request: HttpRequest) -> HttpResponse:
    """One's own and shared projects; `?trash=1`: those that can be restored."""
    query = request.GET.get("q", "").replace("\0", "").strip()[:200]
    trashed = request.GET.get("trash") == "1"
    found = project_trash_list(user=request.user) if trashed else project_list(user=request.user)
    if query:
        found = found.filter(Q(name__icontains=query) | Q(description__icontains=query))
    page = Paginator(found.select_related("owner"), PAGE).get_page(request.GET.get("page"))
    rows = list(page)
    base = request.build_absolute_uri("/")
    context = {
        "page_obj": page,
        "rows": [{"project": project, **counts} for project, counts in zip(rows, _counts(rows), strict=True)],
        "q": query,
        "trashed": trashed,
        "curl": snippets.project_as_curl(base),
        "python": snippets.project_as_python(base),
    }
    return render(request, "projects/project_list.html", context)


def _counts(shown: list[Project]) -> list[dict[str, Any]]:
    """Of each project: its live runs, those that run, and when the last of them began."""
    live = Q(runs__deleted_at__isnull=True)
    counted = (
        Project.objects.filter(pk__in=[project.pk for project in shown])
        .order_by()
        .annotate(
            run_count=Count("runs", filter=live),
            running=Count("runs", filter=live & Q(runs__status="running")),
            last_run=Max("runs__started_at", filter=live),
        )
        .values("pk", "run_count", "running", "last_run")
    )
    by_key = {row.pop("pk"): row for row in counted}
    return [by_key.get(project.pk, {}) for project in shown]


@login_required
@require_http_methods(["GET", "POST"])
def new_project(request: HttpRequest) -> HttpResponse:
    form = ProjectForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = project_create(owner=request.user, **form.cleaned_data)
            return redirect("project", project_id=made.pk)
        except InvalidSpec as error:
            add_errors(form, error)
    status = 422 if form.errors else 200
    return render(request, "projects/project_new.html", {"form": form}, status=status)


# --- Settings -------------------------------------------------------------------------------------------------------


@login_required
@require_http_methods(["GET", "POST"])
def project_settings(request: HttpRequest, project_id: int) -> HttpResponse:
    """Everybody who sees the project sees who belongs to it; owners change it."""
    here = visible_project(request, project_id)
    form = ProjectForm(request.POST or None, initial=_initial(here))
    if request.method == "POST" and form.is_valid():
        try:
            project_update(user=request.user, project_id=here.pk, changes=form.cleaned_data)
            messages.success(request, "The project is changed.")
            return redirect("project-settings", project_id=here.pk)
        except InvalidSpec as error:
            add_errors(form, error)
        except DomainError as error:
            messages.error(request, error.message)
            return redirect("project-settings", project_id=here.pk)
    return _settings_page(request, here, form, status=422 if form.errors else 200)


def _initial(project: Project) -> dict[str, Any]:
    return {"name": project.name, "description": project.description, "is_public": project.is_public}


def _settings_page(
    request: HttpRequest, here: Project, form: ProjectForm, *, status: int = 200, **more: Any
) -> HttpResponse:
    owned = Project.objects.owned_by(request.user).filter(pk=here.pk).exists()
    if not owned:
        for field in form.fields.values():
            field.disabled = True
    context = {
        "project": here,
        "form": form,
        "is_owner": owned,
        "is_jobs": here.kind == Project.Kind.JOBS,
        "members": member_list(user=request.user, project_id=here.pk),
        "roles": ProjectMember.Role.choices,
        **more,
    }
    return render(request, "projects/project_settings.html", context, status=status)


@login_required
@require_POST
def add_member(request: HttpRequest, project_id: int) -> HttpResponse:
    here = visible_project(request, project_id)
    username, role = request.POST.get("username", ""), request.POST.get("role", "")
    try:
        member = member_add(user=request.user, project_id=here.pk, username=username, role=role)
        messages.success(request, f"{member.user.username} is a member now: {member.role}.")
    except InvalidSpec as error:
        typed = {"typed_username": username, "typed_role": role, "member_errors": error.errors}
        return _settings_page(request, here, ProjectForm(initial=_initial(here)), status=422, **typed)
    except DomainError as error:
        messages.error(request, error.message)
    return redirect(_members_of(here))


@login_required
@require_POST
def change_member(request: HttpRequest, project_id: int, user_id: int) -> HttpResponse:
    """Another role, or with `remove` none at all."""
    here = visible_project(request, project_id)
    leaving = user_id == request.user.pk
    try:
        if "remove" in request.POST:
            member_remove(user=request.user, project_id=here.pk, member_id=user_id)
            messages.success(request, f"You left {here.name}." if leaving else "The member was removed.")
        else:
            role = request.POST.get("role", "")
            member = member_role_set(user=request.user, project_id=here.pk, member_id=user_id, role=role)
            messages.success(request, f"{member.user.username} has the role {member.role} now.")
    except InvalidSpec as error:
        messages.error(request, error.first_sentence())
    except DomainError as error:
        messages.error(request, error.message)
    if not Project.objects.visible_to(request.user).filter(pk=here.pk).exists():
        return redirect("projects")
    return redirect(_members_of(here))


def _members_of(project: Project) -> str:
    return f"{reverse('project-settings', args=[project.pk])}#members"


@login_required
@require_POST
def trash(request: HttpRequest, project_id: int) -> HttpResponse:
    """Into the trash with all its runs, once its name was typed."""
    here = visible_project(request, project_id)
    if request.POST.get("confirm", "").strip() != here.name:
        form = ProjectForm(initial=_initial(here))
        return _settings_page(request, here, form, status=422, trash_error=f"Type the name as it is: {here.name}")
    try:
        project_trash(user=request.user, project_id=here.pk)
    except DomainError as error:
        messages.error(request, error.message)
        return redirect("project-settings", project_id=here.pk)
    messages.success(request, f"{here.name} is in the trash for 30 days.")
    return redirect(f"{reverse('projects')}?trash=1")


@login_required
@require_POST
def restore(request: HttpRequest, project_id: int) -> HttpResponse:
    try:
        project_to_own(user=request.user, project_id=project_id, trashed=True)
        back = project_restore(user=request.user, project_id=project_id)
    except Forbidden:
        raise NotFound from None
    messages.success(request, f"{back.name} is back.")
    return redirect("project", project_id=back.pk)
