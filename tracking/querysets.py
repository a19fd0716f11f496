"""Who may see and change what. Every read of these models starts with `visible_to(user)`."""

from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Left

if TYPE_CHECKING:
    from tracking.models import Project, User


def acts_as(user: Any) -> list[int]:
    return user.acts_as() if user is not None and user.is_authenticated else []


class ProjectQuerySet(models.QuerySet):
    def live(self) -> Self:
        """Not in the trash."""
        return self.filter(deleted_at__isnull=True)

    def trashed(self) -> Self:
        return self.filter(deleted_at__isnull=False)

    def visible_to(self, user: "User | Any") -> Self:
        """Own projects, those one is a member of, public ones; all for superusers. Trashed ones too: see `live`."""
        if user is not None and user.is_superuser:
            return self
        from tracking.models import ProjectMember

        shared = ProjectMember.objects.filter(user_id__in=acts_as(user)).values("project_id")
        return self.filter(Q(owner_id__in=acts_as(user)) | Q(pk__in=shared) | Q(is_public=True))

    def listed_for(self, user: "User | Any") -> Self:
        """What one's lists show: own and shared projects, not the public ones of others; all for superusers."""
        if user is not None and user.is_superuser:
            return self
        return self._with_role(user, ("viewer", "editor", "owner"))

    def changeable_by(self, user: "User | Any") -> Self:
        """Projects in which `user` may log, submit and edit: own ones, and those where one is editor or owner."""
        if user is not None and user.is_superuser:
            return self
        return self._with_role(user, ("editor", "owner"))

    def owned_by(self, user: "User | Any") -> Self:
        """Projects that `user` may rename, share and delete: own ones, and those where one has the role owner."""
        if user is not None and user.is_superuser:
            return self
        return self._with_role(user, ("owner",))

    def _with_role(self, user: "User | Any", roles: tuple[str, ...]) -> Self:
        from tracking.models import ProjectMember

        users = acts_as(user)
        members = ProjectMember.objects.filter(user_id__in=users, role__in=roles)
        return self.filter(Q(owner_id__in=users) | Q(pk__in=members.values("project_id")))


def _projects() -> ProjectQuerySet:
    from tracking.models import Project

    return Project.objects.all()


class ProjectScopedQuerySet(models.QuerySet):
    """Things that live in a project, found by `project_path` (`run__project` for a run's series)."""

    project_path = "project"

    def visible_to(self, user: "User | Any") -> Self:
        if user is not None and user.is_superuser:
            return self
        return self.filter(**{f"{self.project_path}__in": _projects().visible_to(user)})

    def listed_for(self, user: "User | Any") -> Self:
        if user is not None and user.is_superuser:
            return self
        return self.filter(**{f"{self.project_path}__in": _projects().listed_for(user)})

    def changeable_by(self, user: "User | Any") -> Self:
        if user is not None and user.is_superuser:
            return self
        return self.filter(**{f"{self.project_path}__in": _projects().changeable_by(user)})


class RunQuerySet(ProjectScopedQuerySet):
    def live(self) -> Self:
        """Neither they nor their project in the trash."""
        return self.filter(deleted_at__isnull=True, project__deleted_at__isnull=True)

    def live_of(self, project: "Project") -> Self:
        """The same, of one project that is known not to lie in the trash: without a look at its row."""
        return self.filter(deleted_at__isnull=True, project_id=project.pk)

    def trashed(self) -> Self:
        """Thrown away by themselves: a run of a trashed project comes back with its project."""
        return self.filter(deleted_at__isnull=False, project__deleted_at__isnull=True)


class RunScopedQuerySet(ProjectScopedQuerySet):
    project_path = "run__project"


class ArtifactQuerySet(RunScopedQuerySet):
    def live(self) -> Self:
        """Not in the trash by themselves."""
        return self.filter(deleted_at__isnull=True)

    def trashed(self) -> Self:
        return self.filter(deleted_at__isnull=False)

    def at(self, path: str) -> Self:
        """The file `path`, or all files in the folder `path`, which ends with a slash; "": all files."""
        if path and not path.endswith("/"):
            return self.filter(path=path)
        # Not `startswith`: for SQLite's LIKE, A and a are one.
        return self.alias(head=Left("path", len(path))).filter(head=path) if path else self


class SavedViewQuerySet(ProjectScopedQuerySet):
    def visible_to(self, user: "User | Any") -> Self:
        """One's own, and the shared ones of the projects that one sees; all for superusers."""
        if user is not None and user.is_superuser:
            return self
        return super().visible_to(user).filter(Q(owner_id__in=acts_as(user)) | Q(is_shared=True))

    def changeable_by(self, user: "User | Any") -> Self:
        """One's own, and the shared ones of the projects that one may edit."""
        if user is not None and user.is_superuser:
            return self
        own = Q(owner_id__in=acts_as(user))
        editable = Q(is_shared=True, project__in=_projects().changeable_by(user))
        return super().visible_to(user).filter(own | editable)


class ApiKeyQuerySet(models.QuerySet):
    def visible_to(self, user: "User | Any") -> Self:
        """One's own keys only, also for superusers' pages (operators use the admin)."""
        if user is None or not user.is_authenticated:
            return self.none()
        return self.filter(owner_id=user.pk)

    def usable(self) -> Self:
        """Neither revoked nor expired, of an active user."""
        from django.utils import timezone

        now = timezone.now()
        return self.filter(revoked_at__isnull=True, owner__is_active=True).filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=now)
        )


class UserRateQuerySet(models.QuerySet):
    def visible_to(self, user: "User | Any") -> Self:
        """One's own; all for superusers."""
        if user is not None and user.is_superuser:
            return self
        return self.filter(user_id__in=acts_as(user))
