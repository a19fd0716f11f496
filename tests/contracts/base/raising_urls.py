"""The platform's URL map, and under each prefix views that raise what a test asks for, or echo what they got."""

import errno
from typing import Any

import redis
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.base.fields import StrictBooleanField, StrictCharField, StrictFloatField, StrictIntegerField
from api.base.serializers import StrictSerializer
from automl_site import errors
from automl_site.urls import handler400, handler403, handler404, handler500
from automl_site.urls import urlpatterns as platform

SECRET = "/etc/very/secret: SELECT password FROM users"
RAISED = {
    "not_found": errors.NotFound("There is no job 'x'."),
    "forbidden": errors.Forbidden(),
    "unauthenticated": errors.Unauthenticated(),
    "invalid": errors.InvalidSpec(errors={"hyperparameters.n_estimators": ["must be at least 1"]}),
    "conflict": errors.Conflict("A run of that name is alive."),
    "not_cancellable": errors.NotCancellable("The job has ended already: completed."),
    "too_large": errors.TooLarge("5 bytes; at most 4 are taken."),
    "rate_limited": errors.RateLimited(retry_after=7.2),
    "dataset_error": errors.DatasetError("The file 'a.csv' is empty."),
    "storage_error": errors.StorageError(),
    "unavailable": errors.Unavailable(),
    "http404": Http404(SECRET),
    "denied": PermissionDenied(),
    "suspicious": SuspiciousOperation(SECRET),
    "database": OperationalError(SECRET),
    "disk_full": OSError(errno.ENOSPC, "No space left on device", SECRET),
    "redis": redis.ConnectionError(SECRET),
    "redis_full": redis.ResponseError("MISCONF Errors writing to the AOF file: No space left on device"),
    "bug": RuntimeError(SECRET),
}


class Raising(APIView):
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    throttle_classes: list[Any] = []

    def get(self, request: Request, what: str) -> Response:
        raise RAISED[what]


def plain(request: HttpRequest, what: str) -> HttpResponse:
    raise RAISED[what]


async def plain_async(request: HttpRequest, what: str) -> HttpResponse:
    raise RAISED[what]


class EchoIn(StrictSerializer):
    ignored = ("created_at",)

    text = StrictCharField(required=False, allow_blank=True)
    number = StrictIntegerField(required=False)
    fraction = StrictFloatField(required=False)
    flag = StrictBooleanField(required=False)
    id = StrictIntegerField(read_only=True)


class Echo(Raising):
    def post(self, request: Request) -> Response:
        order = EchoIn(data=request.data)
        order.is_valid(raise_exception=True)
        return Response(order.validated_data)


class Loose(Raising):
    """Takes any JSON, NaN too."""

    allow_nan_json = True

    def post(self, request: Request) -> Response:
        return Response({"got": repr(request.data)})


PREFIXES = ("auth", "v1", "jobs", "api/v1/train", "api/v1")
urlpatterns = [
    *[path(f"{prefix}/raise/<what>", Raising.as_view()) for prefix in PREFIXES],
    *[path(f"{prefix}/plain/<what>", plain) for prefix in PREFIXES],
    *[path(f"{prefix}/async/<what>", plain_async) for prefix in PREFIXES],
    *[path(f"{prefix}/echo", Echo.as_view()) for prefix in PREFIXES],
    *[path(f"{prefix}/loose", Loose.as_view()) for prefix in PREFIXES],
    path("ui/raise/<what>", plain),
    *platform,
]
__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]
