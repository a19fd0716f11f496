"""Who may see and change what. Every read of these models starts with `visible_to(user)`."""

from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from tracking.models import User


def acts_as(user: Any) -> list[int]:
    return user.acts_as() if user is not None and user.is_authenticated else []


class ProjectQuerySet(models.QuerySet):
    def live(self) -> Self:
        """Not in the trash."""
        return self.filter(deleted_at__isnull=True)

    def visible_to(self, user: "User | Any") -> Self:
        """Own projects, those one is a member of, public ones; all for superusers. Trashed ones too: see `live`."""
        if user is not None and user.is_superuser:
            return self
        from tracking.models import ProjectMember

        shared = ProjectMember.objects.filter(user_id__in=acts_as(user)).values("project_id")
        return self.filter(Q(owner_id__in=acts_as(user)) | Q(pk__in=shared) | Q(is_public=True))

    def changeable_by(self, user: "User | Any") -> Self:
        """Projects in which `user` may log, submit and edit: own ones, and those where one is editor or owner."""
        if user is not None and user.is_superuser:
            return self
        from tracking.models import ProjectMember

        editing = ProjectMember.objects.filter(user_id__in=acts_as(user), role__in=("editor", "owner"))
        return self.filter(Q(owner_id__in=acts_as(user)) | Q(pk__in=editing.values("project_id")))


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

    def changeable_by(self, user: "User | Any") -> Self:
        if user is not None and user.is_superuser:
            return self
        return self.filter(**{f"{self.project_path}__in": _projects().changeable_by(user)})


class RunQuerySet(ProjectScopedQuerySet):
    def live(self) -> Self:
        return self.filter(deleted_at__isnull=True, project__deleted_at__isnull=True)


class RunScopedQuerySet(ProjectScopedQuerySet):
    project_path = "run__project"


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
