"""The job-queue contract: each view validates, calls one service or selector, and renders."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from api.base.idempotency import IDEMPOTENCY_KEY, idempotency_of
from api.job_queue.serializers import (
    QueueCancelledOut,
    QueueInferenceIn,
    QueueJobListOut,
    QueueJobOut,
    QueueListIn,
    QueueResumeIn,
    QueueSubmittedOut,
    QueueTrainingIn,
)
from automl_site.errors import InvalidSpec
from jobs.selectors.jobs import job_get, job_list, job_status, parse_job_id
from jobs.services.control import job_cancel, job_resume
from jobs.services.submission import inference_submit, training_submit


class JobViewSet(ViewSet):
    """Training and inference jobs, routed to the workers of their framework."""

    @extend_schema(parameters=[IDEMPOTENCY_KEY], request=QueueTrainingIn, responses={200: QueueSubmittedOut})
    def training(self, request: Request) -> Response:
        """Submit a training job to the queue of its framework."""
        idempotency = idempotency_of(request)
        order = QueueTrainingIn(data=request.data)
        order.is_valid(raise_exception=True)
        job = training_submit(user=request.user, **order.validated_data, idempotency=idempotency)
        return Response(QueueSubmittedOut(job).data)

    @extend_schema(parameters=[IDEMPOTENCY_KEY], request=QueueInferenceIn, responses={200: QueueSubmittedOut})
    def inference(self, request: Request) -> Response:
        """Submit an inference job with a trained model."""
        idempotency = idempotency_of(request)
        order = QueueInferenceIn(data=request.data)
        order.is_valid(raise_exception=True)
        job = inference_submit(user=request.user, **order.validated_data, idempotency=idempotency)
        return Response(QueueSubmittedOut(job).data)

    @extend_schema(responses={200: QueueJobOut})
    def status(self, request: Request, job_id: str) -> Response:
        """The present state of a job, with its result so far."""
        return Response(QueueJobOut(job_status(user=request.user, job_id=job_id)).data)

    @extend_schema(responses={200: QueueCancelledOut})
    def destroy(self, request: Request, job_id: str) -> Response:
        """Cancel a running or pending job."""
        job = job_cancel(user=request.user, job=job_get(user=request.user, job_id=job_id))
        return Response(QueueCancelledOut(job).data)

    @extend_schema(parameters=[IDEMPOTENCY_KEY], request=QueueResumeIn, responses={200: QueueSubmittedOut})
    def resume(self, request: Request, job_id: str) -> Response:
        """Go on with a cancelled or failed training from its last checkpoint, as a new job."""
        idempotency = idempotency_of(request)
        order = QueueResumeIn(data=request.data)
        order.is_valid(raise_exception=True)
        origin = job_get(user=request.user, job_id=job_id)
        job = job_resume(user=request.user, job=origin, **order.validated_data, idempotency=idempotency)
        return Response(QueueSubmittedOut(job).data)

    @extend_schema(parameters=[QueueListIn], responses={200: QueueJobListOut})
    def list(self, request: Request) -> Response:
        """The caller's jobs, newest first."""
        query = QueueListIn(data=request.query_params)
        query.is_valid(raise_exception=True)
        wanted = query.validated_data
        parent = None
        if "parent" in wanted:
            parent = parse_job_id(wanted["parent"])
            if parent is None:
                raise InvalidSpec(errors={"parent": ["parent must be a job's id"]})
        statuses = [wanted["status"]] if "status" in wanted else []
        jobs = job_list(user=request.user, statuses=statuses, parent=parent)
        limit, offset = wanted["limit"], wanted["offset"]
        page = {"jobs": jobs[offset : offset + limit], "total": jobs.count(), "limit": limit, "offset": offset}
        return Response(QueueJobListOut(page).data)
