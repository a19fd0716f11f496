"""Who may see which data set."""

from typing import Any, Self

from django.db import models


class DatasetQuerySet(models.QuerySet):
    def live(self) -> Self:
        """Not in the trash."""
        return self.filter(deleted_at__isnull=True)

    def visible_to(self, user: Any) -> Self:
        """One's own data sets, in open mode those of `local` too; all of them for superusers."""
        if user is None or not user.is_authenticated:
            return self.none()
        if user.is_superuser:
            return self
        return self.filter(owner_id__in=user.acts_as())


class BlobQuerySet(models.QuerySet):
    def visible_to(self, user: Any) -> Self:
        if user is None or not user.is_authenticated:
            return self.none()
        if user.is_superuser:
            return self
        return self.filter(owner_id__in=user.acts_as())
