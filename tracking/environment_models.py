"""Where and with what code a run was made."""

from django.db import models

from tracking.querysets import RunScopedQuerySet


class RunEnvironment(models.Model):
    """Beside the run's row, because a diff is long and lists of runs never show it. Secrets have been masked."""

    run = models.OneToOneField("tracking.Run", on_delete=models.CASCADE, related_name="environment")
    # Free-form; the client and the workers write python, packages, host, platform, processors, command, folder.
    environment = models.JSONField(default=dict, blank=True)
    git = models.JSONField(default=dict, blank=True)  # of `tracking.services.environments.GIT_FIELDS`
    updated_at = models.DateTimeField(auto_now=True)

    objects = RunScopedQuerySet.as_manager()

    class Meta:
        ordering = ["run"]

    def __str__(self) -> str:
        return f"environment of run {self.run_id}"
