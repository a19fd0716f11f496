"""The automl contract's /v1/auth."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.automl.serializers import AutomlTokenIn, AutomlTokenOut
from automl_site.origins import client_address
from tracking.services.accounts import api_key_create, credentials_check


class TokenView(APIView):
    """Make a new API key by username and password."""

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    throttle_classes: list[Any] = []

    @extend_schema(request=AutomlTokenIn, responses={201: AutomlTokenOut})
    def post(self, request: Request) -> Response:
        order = AutomlTokenIn(data=request.data)
        order.is_valid(raise_exception=True)
        user = credentials_check(**order.validated_data, address=client_address(request.META))
        _, secret = api_key_create(owner=user, name="made by /v1/auth/token")
        return Response(
            {"api_key": secret, "access_token": secret, "token_type": "bearer"},
            status=201,
            headers={"Cache-Control": "no-store"},
        )
