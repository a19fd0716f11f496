"""Who a token speaks for and which runs that user may log into, remembered for a moment.

For the ingest path, which is asked the same thing some thousand times a second. The services that take a right away
call `forget_on_commit`; another process learns it after FRESH seconds.
"""

import hashlib
import time

from django.db import transaction

from automl_site.errors import DomainError
from tracking.selectors.runs import run_to_change
from tracking.tokens import authenticate_token

FRESH = 2.0  # seconds
MAX_KNOWN = 50_000  # entries

_users: dict[bytes, tuple[int, float]] = {}
_rights: dict[tuple[bytes, int], float] = {}


def logger_of(*, token: str, run_id: int) -> int | None:
    """The id of the user whom the token speaks for, if that user may log into the run; else None."""
    now = time.monotonic()
    digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
    user_id, good_until = _users.get(digest, (0, 0.0))
    if good_until > now and _rights.get((digest, run_id), 0.0) > now:
        return user_id
    user = authenticate_token(token)
    if user is None:
        return None
    try:
        run_to_change(user=user, run_id=run_id)
    except DomainError:
        return None
    if len(_users) + len(_rights) > MAX_KNOWN:
        forget()
    _users[digest] = user.pk, now + FRESH
    _rights[digest, run_id] = now + FRESH
    return user.pk


def forget() -> None:
    """Ask the database anew from now on."""
    _users.clear()
    _rights.clear()


def forget_on_commit() -> None:
    """The same, once the present transaction has committed."""
    transaction.on_commit(forget)
