"""One readable line a record, with secrets struck out."""

import logging
import re
from contextvars import ContextVar
from typing import Any

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
