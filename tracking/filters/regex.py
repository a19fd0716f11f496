"""Regular expressions in linear time: RE2, whatever the database."""

import re2

MAX_PATTERN = 500  # characters
_MAX_MEMORY = 1 << 20  # bytes, of one compiled pattern


def compile_pattern(pattern: str) -> "re2._Regexp":
    """`pattern`, ready to `search` a text.

    Raises:
        ValueError: it is none of RE2's, or too large; the message says which.
    """
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"it is longer than {MAX_PATTERN} characters")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        raise ValueError(reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)) from None
