"""What a run's page and a project's page offer to be kept as files, for `partials/downloads.html`."""

from django.urls import reverse

from tracking.models import Project, Run


def run_downloads(run: Run) -> list[dict[str, str]]:
    """All points, the summary of each metric, config, log and files."""
    points = reverse("tracking-run-export", args=[run.pk])
    return [
        _link(f"{points}?format=csv", "All points", "CSV"),
        _link(f"{points}?format=parquet", "All points", "Parquet"),
        _link(reverse("run-metrics", args=[run.pk]), "Summary of the metrics", "CSV"),
        _link(reverse("run-config", args=[run.pk]), "Config", "JSON"),
        _link(reverse("run-log", args=[run.pk]), "Log", "text"),
    ]


def project_downloads(project: Project, address: str) -> list[dict[str, str]]:
    """The runs table as the page with that query shows it, and all points of all runs."""
    points = reverse("tracking-project-export", args=[project.pk])
    return [
        _link(f"{reverse('project-export', args=[project.pk])}?{address}", "This table, all its pages", "CSV"),
        _link(f"{points}?format=csv", "All points of all runs", "CSV"),
        _link(f"{points}?format=parquet", "All points of all runs", "Parquet"),
    ]


def _link(href: str, label: str, note: str) -> dict[str, str]:
    return {"href": href, "label": label, "note": note}
