"""The tracking contract's metrics."""

from typing import Any

from django.http import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from api.base.idempotency import IDEMPOTENCY_KEY, idempotency_of
from api.tracking import answers, documents
from api.tracking.documents import answered, sent
from api.tracking.metric_bodies import parse_batch, parse_point
from api.tracking.serializers import (
    TrackingBatchIn,
    TrackingHistoryIn,
    TrackingHistoryOut,
    TrackingLoggedOut,
    TrackingMetricIn,
    TrackingMetricListIn,
    TrackingMetricOut,
    TrackingSummaryOut,
)
from api.tracking.streams import history_pieces
from api.tracking.views import FormsMixin, checked
from automl_site.errors import NotFound
from automl_site.streaming import streamed
from tracking import store
from tracking.models import Run
from tracking.selectors.metrics import metric_history, metric_is_long, metric_page
from tracking.selectors.runs import run_get, run_to_change
from tracking.services.heartbeats import runs_beat
from tracking.services.metrics import points_log
from tracking.stream import json_number, timestamp

HEARTBEAT = OpenApiParameter(
    "X-Run-Heartbeat",
    str,
    OpenApiParameter.HEADER,
    description="Any value: the run's process is alive, as by POST /runs/{run_id}/heartbeat.",
)


class MetricViewSet(FormsMixin, ViewSet):
    """The points of a run's metrics."""

    forms = {
        "create": (TrackingMetricIn, documents.METRIC_IN),
        "batch": (TrackingBatchIn, documents.BATCH_METRICS),
    }

    allow_nan_json = True  # Python's json writes a diverged loss so

    @extend_schema(
        parameters=[IDEMPOTENCY_KEY, HEARTBEAT],
        request=TrackingMetricIn,
        responses={201: TrackingMetricOut},
        examples=[sent(documents.METRIC_IN), answered(documents.METRIC, "201")],
    )
    def create(self, request: Request, run_id: str) -> Response:
        """Log a single metric."""
        idempotency = idempotency_of(request)
        run = run_to_change(user=request.user, run_id=int(run_id))
        point = parse_point(request.data)
        answer = points_log(run_id=run.pk, points=[point], single=True, idempotency=idempotency)
        _beat(request, run.pk)
        return Response(answer, status=201)

    @extend_schema(
        parameters=[IDEMPOTENCY_KEY, HEARTBEAT],
        request=TrackingBatchIn,
        responses={201: TrackingLoggedOut},
        examples=[
            sent(documents.BATCH_METRICS, "one step of many metrics"),
            sent(documents.BATCH_POINTS, "points"),
            sent(documents.BATCH_SERIES, "columns"),
            answered(documents.LOGGED, "201"),
        ],
    )
    def batch(self, request: Request, run_id: str) -> Response:
        """Log multiple metrics at once, whole or not at all."""
        idempotency = idempotency_of(request)
        run = run_to_change(user=request.user, run_id=int(run_id))
        points = parse_batch(request.data)
        answer = points_log(run_id=run.pk, points=points, idempotency=idempotency)
        _beat(request, run.pk)
        return Response(answer, status=201)

    @extend_schema(
        parameters=[TrackingMetricListIn],
        responses={200: TrackingMetricOut(many=True)},
        examples=[answered(documents.METRIC)],
    )
    def list(self, request: Request, run_id: str) -> Response:
        """Get the points of a run's metrics, by time, then step."""
        query = checked(TrackingMetricListIn, request.query_params)
        run = run_get(user=request.user, run_id=int(run_id))
        page, total = metric_page(run=run, name=query.get("metric_name"), skip=query["skip"], limit=query["limit"])
        points = [
            {
                "id": point.id,
                "run_id": run.pk,
                "name": point.name,
                "value": json_number(point.value),
                "step": point.step,
                "timestamp": timestamp(store.moment(point.time)),
            }
            for point in page
        ]
        return Response(points, headers={"X-Total-Count": str(total)})

    @extend_schema(
        parameters=[TrackingHistoryIn], responses={200: TrackingHistoryOut}, examples=[answered(documents.HISTORY)]
    )
    def history(self, request: Request, run_id: str, metric_name: str) -> HttpResponseBase:
        """Get the whole history of one metric, by time, then step. Its name may contain slashes."""
        query = checked(TrackingHistoryIn, request.query_params)
        run = run_get(user=request.user, run_id=int(run_id))
        try:
            return _history(request, run, metric_name, query)
        except NotFound:
            if not metric_name.endswith("/"):
                raise
        # With the slash that any address may end with.
        return _history(request, run, metric_name.removesuffix("/"), query)

    @extend_schema(responses={200: TrackingSummaryOut(many=True)}, examples=[answered(documents.SUMMARY)])
    def summary(self, request: Request, run_id: str) -> Response:
        """Get summary statistics for all metrics in a run."""
        run = run_get(user=request.user, run_id=int(run_id))
        return Response(
            [
                {
                    "name": row.name,
                    "current_value": json_number(row.last_value),
                    "min_value": row.min_value,
                    "max_value": row.max_value,
                    "mean_value": row.mean_value,
                    "total_points": row.count,
                    "next_step": row.next_step,
                }
                for row in store.summaries(run.pk)
            ]
        )


def _history(request: Request, run: Run, name: str, query: dict[str, Any]) -> HttpResponseBase:
    if query.get("max_points") is None and metric_is_long(run=run, name=name):
        pieces = history_pieces(run=run, name=name, since_step=query.get("since_step"))
        return streamed(request._request, pieces, headers={"Content-Type": "application/json"})
    columns = metric_history(run=run, name=name, **query)
    return Response(answers.history(name, columns))


def _beat(request: Request, run_id: int) -> None:
    if HEARTBEAT.name in request.headers:
        runs_beat(run_ids=[run_id])
