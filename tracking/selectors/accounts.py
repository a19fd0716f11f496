"""Reads of users and their API keys."""

from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import Q

from automl_site.errors import NotFound

if TYPE_CHECKING:
    from tracking.models import ApiKey, User
    from tracking.querysets import ApiKeyQuerySet


def local_user_id() -> int | None:
    """The id of the user that stands for anonymous callers in open mode; None until one has called."""
    from tracking.models import User

    return User.objects.filter(username=settings.OPEN_USERNAME).values_list("pk", flat=True).first()


def user_by_login(name: str) -> "User | None":
    """The user who signs in as `name`: a username or an e-mail address, in any case."""
    from tracking.models import User

    # An e-mail address may be another one's username: the username comes first.
    found = list(User.objects.filter(Q(username__iexact=name) | Q(email__iexact=name))[:2])
    return next((user for user in found if user.username.lower() == name.lower()), found[0] if found else None)


def api_keys_of(user: "User") -> "ApiKeyQuerySet":
    """The user's keys that can still be used, newest first."""
    from tracking.models import ApiKey

    return ApiKey.objects.visible_to(user).usable()


def api_key_get(*, user: "User", key_id: int) -> "ApiKey":
    """One of the user's own keys, revoked or not. Raises NotFound."""
    from tracking.models import ApiKey

    key = ApiKey.objects.visible_to(user).filter(pk=key_id).first()
    if key is None:
        raise NotFound("There is no such API key.")
    return key
