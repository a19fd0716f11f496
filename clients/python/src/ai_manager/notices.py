"""What the user is told: each thing once, as a warning, and never as an exception."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Hashable

logger = logging.getLogger("ai_manager")
_told: set[Hashable] = set()
_MAX_TOLD = 10_000  # a program that makes runs for ever must not keep all of their names


def warn_once(key: Hashable, message: str) -> None:
    """Warn, unless a warning with this key was given already."""
    if key not in _told:
        if len(_told) < _MAX_TOLD:
            _told.add(key)
        say(message, level=logging.WARNING)


def say(message: str, *, level: int = logging.INFO) -> None:
    """Through the logger `ai_manager` where the program has set logging up, else to standard error."""
    with contextlib.suppress(Exception):
        if logger.hasHandlers():
            logger.log(level, message)
        else:
            sys.stderr.write(f"ai_manager: {message}\n")
