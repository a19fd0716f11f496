"""One readable line a record, with secrets struck out."""

import logging
import re

# Tokens travel in headers and, for sockets, in the query string; neither may reach a log.
_SECRETS = re.compile(r"(?i)(bearer[ ,]+|token=|password=|access_token\W{1,4}|api_key\W{1,4})[^\s\"'&,;]+")


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
