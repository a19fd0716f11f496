"""How a full disk is known, whoever tells of it."""

import errno
import re
from collections.abc import Iterator

from automl_site.errors import DomainError

# Libraries that write files by code of their own raise exceptions of their own.
_WORDS = re.compile(r"no space left on device|os error 28\b|disk quota exceeded", re.IGNORECASE)
_LOOKED_AT = 2_000  # characters of what an exception says


def is_disk_full(error: BaseException | None) -> bool:
    """Whether a full disk, or an exhausted quota, is what the error came from: a file's, SQLite's or PostgreSQL's."""
    return any(_says_so(each) for each in causes(error))


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _says_so(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    if getattr(error, "sqlite_errorname", "") == "SQLITE_FULL" or getattr(error, "sqlstate", "") == "53100":
        return True
    # The words of a foreseen failure may quote the user's.
    return not isinstance(error, DomainError) and bool(_WORDS.search(str(error)[:_LOOKED_AT]))
