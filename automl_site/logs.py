"""One readable line a record, with secrets struck out."""

import faulthandler
import logging
import re
import signal
import sys
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, TextIO

# Tokens travel in headers and, for sockets, in the query string; neither may reach a log.
_SECRETS = re.compile(
    r"""(?i)((?:bearer['"]?[ ,]+|(?:token|password|api_key)['"]?\s*[=:]\s*)['"]?)[^\s"'&,;]+"""
    r"""|\b()(?:eyJ[\w-]+\.[\w-]+\.[\w-]+|amk_[\w-]+)"""  # a JWT, an API key, wherever they stand
)

request_id: ContextVar[str] = ContextVar("request_id", default="")  # of the HTTP request that is being answered


def redact(text: str) -> str:
    """The text with tokens and passwords replaced by `***`."""
    return _SECRETS.sub(lambda match: f"{match[1] or ''}***", text)


class RedactSecrets(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        clean = redact(text)
        if clean != text:
            record.msg, record.args = clean, None
        return True


class LineFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatException(self, ei: Any) -> str:
        return redact(super().formatException(ei))

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        return f"{line} [request {request_id.get()}]" if request_id.get() else line


def show_stacks(file: TextIO | None = None) -> None:
    """Have this process write where it is (file and line, no values) when it crashes in native code or gets SIGUSR1.

    A process that hangs tells nothing else; its forked children inherit this. Into `file`, or to standard error.
    """
    file = file or sys.stderr
    with suppress(AttributeError, ValueError, OSError):  # no standard error, or one without a file
        faulthandler.enable(file)
        faulthandler.register(signal.SIGUSR1, file=file, all_threads=True)
