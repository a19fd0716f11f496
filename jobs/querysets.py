"""Who may see and change which job, model and attempt."""

from typing import Any, Self

from django.db import models
from django.db.models import Q

from tracking.models import Project


class JobQuerySet(models.QuerySet):
    def visible_to(self, user: Any) -> Self:
        """One's own, and those of the projects one may see; everything for superusers."""
        if user is None or not user.is_authenticated:
            return self.filter(project__in=Project.objects.visible_to(user))
        if user.is_superuser:
            return self
        return self.filter(Q(owner_id__in=user.acts_as()) | Q(project__in=Project.objects.visible_to(user)))

    def owned_by(self, user: Any) -> Self:
        """One's own: part of what is visible, and quickly asked for."""
        return self.filter(owner_id__in=user.acts_as()) if user is not None and user.is_authenticated else self.none()

    def changeable_by(self, user: Any) -> Self:
        """Jobs that `user` may cancel or run again: one's own, and those of projects one edits."""
        if user is None or not user.is_authenticated:
            return self.none()
        if user.is_superuser:
            return self
        return self.filter(Q(owner_id__in=user.acts_as()) | Q(project__in=Project.objects.changeable_by(user)))

    def top_level(self) -> Self:
        """Without the stages of pipelines and the trials of searches, which no list shows."""
        return self.filter(parent__isnull=True)

    def live(self) -> Self:
        """Pending or running."""
        return self.filter(status__in=("pending", "running"))


class TrainedModelQuerySet(models.QuerySet):
    def live(self) -> Self:
        """Not in the trash."""
        return self.filter(deleted_at__isnull=True)

    def visible_to(self, user: Any) -> Self:
        if user is None or not user.is_authenticated:
            return self.filter(project__in=Project.objects.visible_to(user))
        if user.is_superuser:
            return self
        return self.filter(Q(owner_id__in=user.acts_as()) | Q(project__in=Project.objects.visible_to(user)))

    def changeable_by(self, user: Any) -> Self:
        if user is None or not user.is_authenticated:
            return self.none()
        if user.is_superuser:
            return self
        return self.filter(Q(owner_id__in=user.acts_as()) | Q(project__in=Project.objects.changeable_by(user)))


class OfJobQuerySet(models.QuerySet):
    """Attempts, log lines and submission keys: seen by who may see their job."""

    def visible_to(self, user: Any) -> Self:
        from jobs.models import Job

        return self.filter(job__in=Job.objects.visible_to(user))
