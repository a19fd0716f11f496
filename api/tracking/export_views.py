"""All points of a run or a project as a file, an extension of the tracking contract."""

from collections.abc import Iterable

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.viewsets import ViewSet

from api.tracking.views import checked
from automl_site.streaming import streamed
from tracking.models import Run
from tracking.selectors.exports import FORMATS, points_export
from tracking.selectors.projects import project_get
from tracking.selectors.runs import run_get, run_list


class TrackingExportIn(serializers.Serializer):
    format = serializers.ChoiceField(choices=sorted(FORMATS), default="csv", help_text="Of the file.")


_FILE = {(200, content_type.partition(";")[0]): OpenApiTypes.BINARY for content_type in FORMATS.values()}


class ExportViewSet(ViewSet):
    """Points as files: run_id, run_name, metric, step, time, value."""

    @extend_schema(parameters=[TrackingExportIn], responses=_FILE)
    def run(self, request: Request, run_id: str) -> HttpResponseBase:
        """Download all points of a run as CSV or Parquet."""
        query = checked(TrackingExportIn, request.query_params)
        run = run_get(user=request.user, run_id=int(run_id))
        return _file(request, [run], query["format"], f"run-{run.pk}-points")

    @extend_schema(parameters=[TrackingExportIn], responses=_FILE)
    def project(self, request: Request, project_id: str) -> HttpResponseBase:
        """Download all points of a project's runs as CSV or Parquet, oldest run first."""
        query = checked(TrackingExportIn, request.query_params)
        project = project_get(user=request.user, project_id=int(project_id))
        # Not an open cursor: it would be held for as long as the client takes to read the file.
        runs = list(run_list(user=request.user, project_id=project.pk).order_by("pk").only("name", "seq"))
        return _file(request, runs, query["format"], f"project-{project.pk}-points")


def _file(request: Request, runs: Iterable[Run], format: str, name: str) -> HttpResponseBase:
    headers = {
        "Content-Type": FORMATS[format],
        "Content-Disposition": f'attachment; filename="{name}.{format}"',
        "X-Content-Type-Options": "nosniff",
    }
    return streamed(request._request, points_export(runs=runs, format=format), headers=headers)
