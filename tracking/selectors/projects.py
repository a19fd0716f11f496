"""Reads of projects and their members."""

from typing import TYPE_CHECKING

from automl_site.errors import Forbidden, NotFound

if TYPE_CHECKING:
    from tracking.models import Project, ProjectMember, User
    from tracking.querysets import ProjectQuerySet


def project_get(*, user: "User", project_id: int) -> "Project":
    """The project of that id.

    Raises:
        NotFound: there is none, or it lies in the trash.
        Forbidden: `user` may not see it (the tracking contract tells the two apart).
    """
    from tracking.models import Project

    return _get(Project.objects.live(), user, project_id, Project.objects.visible_to(user))


def project_to_change(*, user: "User", project_id: int) -> "Project":
    """The same, for who may log and edit in it (editor, owner). Raises NotFound, Forbidden."""
    from tracking.models import Project

    return _get(Project.objects.live(), user, project_id, Project.objects.changeable_by(user))


def project_to_own(*, user: "User", project_id: int, trashed: bool = False) -> "Project":
    """The same, for who may rename, share and delete it (owner). `trashed`: of those in the trash."""
    from tracking.models import Project

    candidates = Project.objects.trashed() if trashed else Project.objects.live()
    return _get(candidates, user, project_id, Project.objects.owned_by(user))


def project_list(*, user: "User", name: str | None = None) -> "ProjectQuerySet":
    """The user's own and shared projects, newest first; all for superusers. `name`: only those called so."""
    from tracking.models import Project

    projects = Project.objects.listed_for(user).live().order_by("-pk")
    return projects if name is None else projects.filter(name=name)


def project_trash_list(*, user: "User") -> "ProjectQuerySet":
    """What the user may restore, the last deleted first."""
    from tracking.models import Project

    return Project.objects.owned_by(user).trashed().order_by("-deleted_at", "-pk")


def member_list(*, user: "User", project_id: int) -> "list[ProjectMember]":
    """Who belongs to the project: its owner (a row that is not saved), then its members. Raises NotFound, Forbidden."""
    from tracking.models import Project, ProjectMember

    project = project_get(user=user, project_id=project_id)
    owner = Project.objects.select_related("owner").get(pk=project.pk).owner
    first = ProjectMember(project=project, user=owner, role=ProjectMember.Role.OWNER)
    others = ProjectMember.objects.filter(project=project).select_related("user").order_by("user__username")
    return [first, *others]


def _get(candidates: "ProjectQuerySet", user: "User", project_id: int, allowed: "ProjectQuerySet") -> "Project":
    chosen = candidates.filter(pk=project_id)
    project = (chosen & allowed).first()
    if project is None:
        if chosen.exists():
            raise Forbidden()
        raise NotFound()
    return project
