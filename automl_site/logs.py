"""One readable line a record, with secrets struck out."""

import logging
import re
from contextvars import ContextVar

# Tokens travel in headers and, for sockets, in the query string; neither may reach a log.
_SECRETS = re.compile(r"(?i)(bearer[ ,]+|token=|password=|access_token\W{1,4}|api_key\W{1,4})[^\s\"'&,;]+")

request_id: ContextVar[str] = ContextVar("request_id", default="")  # of the HTTP request that is being answered


class RedactSecrets(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        clean = _SECRETS.sub(r"\1***", text)
        if clean != text:
            record.msg, record.args = clean, None
        return True


class LineFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        return f"{line} [request {request_id.get()}]" if request_id.get() else line
