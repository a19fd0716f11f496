"""The files of runs, an extension of the tracking contract. Bytes come and go as they are, in pieces."""

import mimetypes

from django.conf import settings
from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from api.base.fields import NaiveUtcDateTimeField, StrictCharField
from api.base.serializers import StrictSerializer
from api.tracking.documents import TIME, answered, sent
from api.tracking.serializers import TrackingPageIn
from api.tracking.views import FormsMixin, checked, page_response
from automl_site.errors import TooLarge
from jobs.downloads import download
from jobs.services.artifact_trash import artifact_purge, artifact_trash
from jobs.services.artifacts import artifact_link, artifact_put, checked_path
from tracking.models import Artifact
from tracking.selectors.artifacts import artifact_get, artifact_list
from tracking.selectors.runs import run_get

DIGEST_HEADER = "X-Content-SHA256"
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
ARTIFACT_IN = {"path": "checkpoints/last.safetensors", "sha256": DIGEST}
ARTIFACT = {**ARTIFACT_IN, "version": 1, "size": 4, "content_type": "application/octet-stream", "created_at": TIME}


class TrackingArtifactIn(StrictSerializer):
    path = StrictCharField(max_length=500, trim_whitespace=False)
    sha256 = StrictCharField(max_length=64, help_text="Of bytes that the project has already.")


class TrackingArtifactListIn(TrackingPageIn):
    prefix = serializers.CharField(required=False, max_length=500, help_text="Only paths that begin so.")


class TrackingArtifactVersionIn(serializers.Serializer):
    version = serializers.IntegerField(required=False, min_value=1, max_value=2**31 - 1)


class TrackingArtifactDeleteIn(serializers.Serializer):
    forever = serializers.BooleanField(default=False, help_text="Not into the trash; also what lies there already.")


class TrackingArtifactOut(serializers.ModelSerializer):
    size = serializers.IntegerField(source="blob.size_bytes")
    sha256 = serializers.CharField(source="blob.sha256")
    content_type = serializers.SerializerMethodField()
    created_at = NaiveUtcDateTimeField()

    class Meta:
        model = Artifact
        fields = ["path", "version", "size", "sha256", "content_type", "created_at"]

    def get_content_type(self, file: Artifact) -> str:
        return content_type(file)


class ArtifactViewSet(FormsMixin, ViewSet):
    """The files of a run (an extension)."""

    forms = {"create": (TrackingArtifactIn, ARTIFACT_IN)}

    @extend_schema(
        parameters=[TrackingArtifactListIn],
        responses={200: TrackingArtifactOut(many=True)},
        examples=[answered(ARTIFACT)],
    )
    def list(self, request: Request, run_id: str) -> Response:
        """List the run's files by path, each in its latest version; `X-Total-Count` says how many there are."""
        query = checked(TrackingArtifactListIn, request.query_params)
        run = run_get(user=request.user, run_id=int(run_id))
        return page_response(artifact_list(run=run, prefix=query.get("prefix", "")), TrackingArtifactOut, query)

    @extend_schema(
        request=TrackingArtifactIn,
        responses={201: TrackingArtifactOut},
        examples=[sent(ARTIFACT_IN), answered(ARTIFACT, "201")],
    )
    def create(self, request: Request, run_id: str) -> Response:
        """Make bytes that the project has already a file of the run; 404 if it has not: then PUT them."""
        order = checked(TrackingArtifactIn, request.data)
        file, made = artifact_link(user=request.user, run_id=int(run_id), **order)
        return Response(TrackingArtifactOut(file).data, status=201 if made else 200)

    @extend_schema(
        parameters=[OpenApiParameter(DIGEST_HEADER, str, OpenApiParameter.HEADER, description="In hex; checked.")],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={201: TrackingArtifactOut},
        examples=[answered(ARTIFACT, "201")],
    )
    def update(self, request: Request, run_id: str, path: str) -> Response:
        """Upload a file: the body is its bytes. Other bytes make the next version; the same ones answer 200."""
        size = announced_size(request)
        if size is not None and size > settings.MAX_UPLOAD_BYTES:
            raise TooLarge(
                f"The file has {size:,} bytes; at most {settings.MAX_UPLOAD_BYTES:,} are taken.",
                details={"max_bytes": settings.MAX_UPLOAD_BYTES, "size_bytes": size},
            )
        file, made = artifact_put(
            user=request.user,
            run_id=int(run_id),
            path=_file_path(path),
            file=request._request,  # DRF would take a body without a length for none
            size=size,
            sha256=request.headers.get(DIGEST_HEADER, ""),
        )
        return Response(TrackingArtifactOut(file).data, status=201 if made else 200)

    @extend_schema(
        parameters=[TrackingArtifactVersionIn],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY, 206: None, 302: None, 416: None},
    )
    def retrieve(self, request: Request, run_id: str, path: str) -> HttpResponseBase:
        """Download a file, or with `Range` a part of it; 302 where the storage gives it. `ETag` is its SHA-256."""
        query = checked(TrackingArtifactVersionIn, request.query_params)
        run = run_get(user=request.user, run_id=int(run_id))
        return download(request._request, artifact_get(run=run, path=checked_path(_file_path(path)), **query))

    @extend_schema(parameters=[TrackingArtifactDeleteIn], responses={204: None})
    def destroy(self, request: Request, run_id: str, path: str) -> Response:
        """Put a file with all its versions into the trash, or with `forever=true` delete it for good."""
        query = checked(TrackingArtifactDeleteIn, request.query_params)
        delete = artifact_purge if query["forever"] else artifact_trash
        delete(user=request.user, run_id=int(run_id), path=checked_path(_file_path(path)))
        return Response(status=204)


def content_type(file: Artifact) -> str:
    return mimetypes.guess_type(file.path, strict=False)[0] or "application/octet-stream"


def _file_path(path: str) -> str:
    return path.removesuffix("/")  # with the slash that any address may end with


def announced_size(request: Request) -> int | None:
    """Bytes of the body, where the sender says how many they are."""
    length = request.META.get("CONTENT_LENGTH") or ""
    return int(length) if length.isdigit() else None
