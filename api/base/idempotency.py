"""The `Idempotency-Key` header, the same on every route that takes one."""

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from tracking.services.metrics import Idempotency

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="A repetition with the same key and body within a day adds nothing and is answered the same.",
)


def idempotency_of(request: Request) -> Idempotency | None:
    """What the header asks for, None without it. Reads the body as it came: call it before the body is parsed.

    Raises InvalidSpec.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    # Its own bytes, not the parsed body: NaN is not equal to itself.
    return Idempotency.of(user_id=request.user.pk, key=key, path=request.path_info, body=request.body)
