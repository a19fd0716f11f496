"""Files of runs in pieces, an extension of the tracking contract: what breaks off goes on where it was."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from api.base.fields import NaiveUtcDateTimeField, StrictCharField
from api.base.serializers import StrictSerializer
from api.tracking.artifacts import ARTIFACT, DIGEST_HEADER, TrackingArtifactOut, announced_size
from api.tracking.documents import TIME, answered, sent
from api.tracking.views import FormsMixin, checked
from automl_site.errors import InvalidSpec
from jobs.services.artifact_uploads import (
    KEPT,
    MAX_PIECE,
    MIN_PIECE,
    upload_append,
    upload_begin,
    upload_cancel,
    upload_complete,
    upload_get,
)
from tracking.models import ArtifactUpload

OFFSET_HEADER = "Upload-Offset"
ASK_AGAIN = 1  # seconds after which a large file may have been put together
UPLOAD_IN = {"path": ARTIFACT["path"], "size": 52_428_800, "sha256": ARTIFACT["sha256"]}
UPLOAD = {
    "id": "5f0c8a5e9f1b4c0d8e7a6b5c4d3e2f1a",
    **UPLOAD_IN,
    "offset": 16_777_216,
    "min_piece": MIN_PIECE,
    "max_piece": MAX_PIECE,
    "created_at": TIME,
    "expires_at": TIME,
}


class TrackingUploadIn(StrictSerializer):
    path = StrictCharField(max_length=500, trim_whitespace=False)
    size = serializers.IntegerField(min_value=0, max_value=2**53, help_text="Of the whole file, in bytes.")
    sha256 = StrictCharField(
        min_length=64,
        max_length=64,
        required=False,
        help_text="Of the whole file, in hex; checked. Without it each call begins an upload: go on with it by its id.",
    )


class TrackingUploadOut(serializers.ModelSerializer):
    id = serializers.CharField(source="public_id")
    size = serializers.IntegerField(source="size_bytes")
    offset = serializers.IntegerField(source="received_bytes", help_text="Where the next piece begins.")
    min_piece = serializers.SerializerMethodField()
    max_piece = serializers.SerializerMethodField()
    created_at = NaiveUtcDateTimeField()
    expires_at = serializers.SerializerMethodField()

    class Meta:
        model = ArtifactUpload
        fields = ["id", "path", "size", "sha256", "offset", "min_piece", "max_piece", "created_at", "expires_at"]

    def get_min_piece(self, upload: ArtifactUpload) -> int:
        return MIN_PIECE

    def get_max_piece(self, upload: ArtifactUpload) -> int:
        return MAX_PIECE

    @extend_schema_field(OpenApiTypes.DATETIME)
    def get_expires_at(self, upload: ArtifactUpload) -> Any:
        return NaiveUtcDateTimeField().to_representation(upload.touched_at + KEPT)


class UploadViewSet(FormsMixin, ViewSet):
    """Uploads of large files, in pieces (an extension)."""

    forms = {"create": (TrackingUploadIn, UPLOAD_IN)}

    @extend_schema(
        request=TrackingUploadIn,
        responses={201: TrackingUploadOut},
        examples=[sent(UPLOAD_IN), answered({**UPLOAD, "offset": 0}, "201")],
    )
    def create(self, request: Request, run_id: str) -> Response:
        """Begin an upload, or be told (200) how far the same one has come that was begun before."""
        order = checked(TrackingUploadIn, request.data)
        upload, made = upload_begin(user=request.user, run_id=int(run_id), **order)
        return _answer(upload, status=201 if made else 200)

    @extend_schema(responses={200: TrackingUploadOut}, examples=[answered(UPLOAD)])
    def retrieve(self, request: Request, run_id: str, upload_id: str) -> Response:
        """How far the upload has come; `Upload-Offset` says it too, so that HEAD will do."""
        return _answer(upload_get(user=request.user, run_id=int(run_id), upload_id=upload_id))

    @extend_schema(
        parameters=[
            OpenApiParameter(OFFSET_HEADER, int, OpenApiParameter.HEADER, required=True),
            OpenApiParameter(DIGEST_HEADER, str, OpenApiParameter.HEADER, description="Of the piece, in hex; checked."),
        ],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={200: TrackingUploadOut},
        examples=[answered(UPLOAD)],
    )
    def append(self, request: Request, run_id: str, upload_id: str) -> Response:
        """Send the piece that begins at `Upload-Offset`: the body is its bytes. It is kept whole or not at all."""
        upload = upload_append(
            user=request.user,
            run_id=int(run_id),
            upload_id=upload_id,
            offset=_offset(request),
            file=request._request,  # DRF would take a body without a length for none
            size=announced_size(request),
            sha256=request.headers.get(DIGEST_HEADER, ""),
        )
        return _answer(upload)

    @extend_schema(
        request=None,
        responses={201: TrackingArtifactOut, 202: TrackingUploadOut},
        examples=[answered(ARTIFACT, "201"), answered(UPLOAD, "202")],
    )
    def complete(self, request: Request, run_id: str, upload_id: str) -> Response:
        """Check the whole against its digest and make it the run's file; the upload is gone then.

        202: a large file is still being read; ask again after `Retry-After` seconds.
        """
        known = {"user": request.user, "run_id": int(run_id), "upload_id": upload_id}
        done = upload_complete(**known)
        if done is None:
            answer = _answer(upload_get(**known), status=202)
            answer["Retry-After"] = str(ASK_AGAIN)
            return answer
        file, made = done
        return Response(TrackingArtifactOut(file).data, status=201 if made else 200)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, run_id: str, upload_id: str) -> Response:
        """Give the upload up."""
        upload_cancel(user=request.user, run_id=int(run_id), upload_id=upload_id)
        return Response(status=204)


def _answer(upload: ArtifactUpload, *, status: int = 200) -> Response:
    headers = {OFFSET_HEADER: str(upload.received_bytes), "Cache-Control": "no-store"}
    return Response(TrackingUploadOut(upload).data, status=status, headers=headers)


def _offset(request: Request) -> int:
    text = request.headers.get(OFFSET_HEADER, "").strip()
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise InvalidSpec(errors={OFFSET_HEADER: ["This header says where the piece begins, in bytes."]})
    return int(text)
