"""The llm-pipelines contract: each view validates, calls one service or selector, and renders."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from api.base.throttling import ContractThrottle
from api.llm_pipelines.parsers import UploadParser
from api.llm_pipelines.serializers import (
    DatasetOut,
    DatasetPreviewIn,
    DatasetPreviewOut,
    DatasetUploadedOut,
    DatasetUploadIn,
)
from datasets_app.selectors import dataset_get, preview
from datasets_app.services import dataset_upload


class DatasetViewSet(ViewSet):
    """Files to train on."""

    throttle_classes = [ContractThrottle]

    @extend_schema(responses={200: DatasetOut})
    def retrieve(self, request: Request, dataset_id: str) -> Response:
        """What is known of a data set."""
        return Response(DatasetOut(dataset_get(user=request.user, public_id=dataset_id)).data)

    @extend_schema(parameters=[DatasetPreviewIn], responses={200: DatasetPreviewOut})
    def preview(self, request: Request, dataset_id: str) -> Response:
        """The first rows of a data set."""
        query = DatasetPreviewIn(data=request.query_params)
        query.is_valid(raise_exception=True)
        dataset = dataset_get(user=request.user, public_id=dataset_id)
        samples = preview(dataset=dataset, limit=query.validated_data["limit"])
        return Response({"dataset_id": dataset.public_id, "samples": samples, "total_rows": dataset.rows})


class DatasetUploadViewSet(ViewSet):
    """Uploads. Apart from the rest, because they take forms and no JSON."""

    throttle_classes = [ContractThrottle]
    parser_classes = [UploadParser]

    @extend_schema(request={"multipart/form-data": DatasetUploadIn}, responses={201: DatasetUploadedOut})
    def create(self, request: Request) -> Response:
        """Store a file and say what is in it."""
        form = DatasetUploadIn(data=request.data)
        form.is_valid(raise_exception=True)
        file = form.validated_data["file"]
        dataset = dataset_upload(
            owner=request.user, file=file, filename=file.name, format=form.validated_data["format"]
        )
        return Response(DatasetUploadedOut(dataset).data, status=201)
