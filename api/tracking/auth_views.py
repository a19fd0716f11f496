"""The tracking contract's /auth."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.base.parsers import FormParser, JSONParser
from api.base.throttling import RegisterThrottle
from api.tracking.serializers import (
    TrackingLoginIn,
    TrackingRefreshIn,
    TrackingRegisterIn,
    TrackingTokenOut,
    TrackingUserOut,
)
from automl_site.origins import client_address
from tracking.models import User
from tracking.services.accounts import credentials_check, tokens_issue, tokens_refresh, user_register


class _CredentialsView(APIView):
    """The credentials are in the body; what else the request carries (an old token, a session) is not looked at."""

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    throttle_classes: list[Any] = []


def _token_answer(access: str, refresh: str) -> Response:
    # RFC 6749: an answer with a token is kept by no cache.
    return Response(
        {"access_token": access, "token_type": "bearer", "refresh_token": refresh},
        headers={"Cache-Control": "no-store"},
    )


class RegisterView(_CredentialsView):
    """Register a new user."""

    throttle_classes = [RegisterThrottle]

    @extend_schema(request=TrackingRegisterIn, responses={201: TrackingUserOut})
    def post(self, request: Request) -> Response:
        order = TrackingRegisterIn(data=request.data)
        order.is_valid(raise_exception=True)
        user = user_register(**order.validated_data)
        return Response(TrackingUserOut(user).data, status=201)


class LoginView(_CredentialsView):
    """Sign in and get an access token."""

    parser_classes = [FormParser, JSONParser]

    @extend_schema(
        request={"application/x-www-form-urlencoded": TrackingLoginIn, "application/json": TrackingLoginIn},
        responses={200: TrackingTokenOut},
    )
    def post(self, request: Request) -> Response:
        form = TrackingLoginIn(data=request.data)
        form.is_valid(raise_exception=True)
        user = credentials_check(**form.validated_data, address=client_address(request.META))
        return _token_answer(*tokens_issue(user=user))


class RefreshView(_CredentialsView):
    """Exchange a refresh token for a new pair of tokens."""

    @extend_schema(request=TrackingRefreshIn, responses={200: TrackingTokenOut})
    def post(self, request: Request) -> Response:
        order = TrackingRefreshIn(data=request.data)
        order.is_valid(raise_exception=True)
        return _token_answer(*tokens_refresh(**order.validated_data))


class MeView(APIView):
    """The current user."""

    @extend_schema(responses={200: TrackingUserOut})
    def get(self, request: Request) -> Response:
        user: User = request.user
        return Response(TrackingUserOut(user).data)
