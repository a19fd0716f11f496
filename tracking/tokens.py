"""Credentials that travel in a request: JWTs and API keys. Both are `Authorization: Bearer <token>`."""

import hashlib
import secrets
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import AuthenticationFailed, InvalidToken, TokenError
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from tracking.models import ApiKey, User

KEY_PREFIX = "amk_"  # lets scanners for leaked secrets know one
_LAST_USED_EVERY = timedelta(minutes=1)


def new_api_key() -> tuple[str, str, str]:
    """A fresh secret: (the key as its owner gets it, once; the prefix that lists show; the digest that is kept)."""
    prefix = KEY_PREFIX + secrets.token_hex(4)
    secret = f"{prefix}_{secrets.token_urlsafe(32)}"
    return secret, prefix, digest(secret)


def digest(secret: str) -> str:
    # 256 random bits need no slow hash, and a lookup by digest tells nothing by its timing.
    return hashlib.sha256(secret.encode()).hexdigest()


def issue_tokens(user: User) -> tuple[str, str]:
    """(access token, refresh token) of a user. Both end with the password that they were issued under."""
    refresh = RefreshToken.for_user(user)
    return str(refresh.access_token), str(refresh)


def authenticate_token(token: str) -> User | None:
    """The user whom a JWT or an API key speaks for.

    None if it is wrong, expired or revoked, or the user is deactivated.
    """
    if len(token) > 4096 or not token.isascii() or not token.isprintable():
        return None
    if token.startswith(KEY_PREFIX):
        return _user_of_key(token)
    return _user_of_jwt(token, AccessToken)


def user_of_refresh_token(token: str) -> User | None:
    """The user whom a refresh token speaks for; None if it is not good (any more)."""
    return _user_of_jwt(token, RefreshToken)


def _user_of_jwt(token: str, kind: type[AccessToken] | type[RefreshToken]) -> User | None:
    try:
        # simplejwt's get_user looks at is_active and at the digest of the password's hash.
        return JWTAuthentication().get_user(kind(token))  # type: ignore[arg-type, return-value]
    except (AuthenticationFailed, InvalidToken, TokenError, ValueError, OverflowError):
        return None


def _user_of_key(secret: str) -> User | None:
    key = ApiKey.objects.usable().select_related("owner").filter(digest=digest(secret)).first()
    if key is None:
        return None
    now = timezone.now()
    if key.last_used_at is None or now - key.last_used_at > _LAST_USED_EVERY:
        # Conditional, so that of many requests at once one writes.
        ApiKey.objects.filter(pk=key.pk).filter(
            Q(last_used_at__isnull=True) | Q(last_used_at__lte=now - _LAST_USED_EVERY)
        ).update(last_used_at=now)
    return key.owner
