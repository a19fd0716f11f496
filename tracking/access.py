"""Who a token speaks for and what that user may do, remembered for a moment.

For the short ways, which are asked the same thing some thousand times a second. The services that take a right away
call `forget_on_commit`; another process learns it within FRESH seconds (that somebody is no superuser any more, within
twice that).
"""

import hashlib
import time
from collections.abc import Callable

from django.db import transaction

from automl_site.errors import DomainError
from tracking.models import User
from tracking.selectors.projects import project_get
from tracking.selectors.runs import run_get, run_to_change
from tracking.tokens import authenticate_token

FRESH = 2.0  # seconds
MAX_KNOWN = 50_000  # entries

_Right = tuple[bytes, str, int]  # a token's digest, what it may do, and with the thing of which id

_users: dict[bytes, tuple[User, float]] = {}
_rights: dict[_Right, float] = {}


def logger_of(*, token: str, run_id: int) -> int | None:
    """The id of the user whom the token speaks for, if that user may log into the run; else None."""
    return _user_who_may(token, "log", run_id, lambda user: run_to_change(user=user, run_id=run_id))


def run_reader_of(*, token: str, run_id: int) -> int | None:
    """The same, if that user may see the run."""
    return _user_who_may(token, "read", run_id, lambda user: run_get(user=user, run_id=run_id))


def project_reader_of(*, token: str, project_id: int) -> int | None:
    """The same, if that user may see the project."""
    return _user_who_may(token, "list", project_id, lambda user: project_get(user=user, project_id=project_id))


def _user_who_may(token: str, what: str, thing: int, ask: Callable[[User], object]) -> int | None:
    now = time.monotonic()
    digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
    user, good_until = _users.get(digest, (None, 0.0))
    if user is None or good_until <= now:
        user, good_until = authenticate_token(token), now + FRESH
    if user is None:
        return None
    right = digest, what, thing
    if _rights.get(right, 0.0) > now:
        return user.pk
    try:
        ask(user)
    except DomainError:
        return None
    if len(_users) + len(_rights) > MAX_KNOWN:
        forget()
    _users[digest] = user, good_until
    _rights[right] = now + FRESH
    return user.pk


def forget() -> None:
    """Ask the database anew from now on."""
    _users.clear()
    _rights.clear()


def forget_on_commit() -> None:
    """The same, once the present transaction has committed."""
    transaction.on_commit(forget)
