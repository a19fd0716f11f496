"""Answers that are made while they are sent: what they hold may be larger than memory.

Django reads a synchronous iterator to its end before an asynchronous server sends any of it, and closes nothing of an
asynchronous one. Here the pieces are made one at a time, in the thread that the view ran in (its connection to the
database is that thread's), each when the one before has been sent; and what they hold open is closed when the answer
ends, in whatever way it ends.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

FILE_PIECE_BYTES = 256 * 1024

logger = logging.getLogger(__name__)


class AnswerCutOff(Exception):
    """The pieces failed after the head of the answer had been sent: only the connection's end can tell the client."""


def streamed(
    request: HttpRequest, pieces: Iterable[bytes | str], *, headers: Mapping[str, str], status: int = 200
) -> HttpResponseBase:
    """These pieces as one answer. If they have a `close`, it is called once the answer is sent, given up or failed.

    A HEAD request gets the headers. An error in the pieces is logged and ends the connection.
    """
    told = _ToldPieces(pieces, request.path)
    if request.method == "HEAD":
        told.close()
        return HttpResponse(status=status, headers=headers)
    content = AsyncPieces(told) if isinstance(request, ASGIRequest) else told
    return StreamingHttpResponse(content, status=status, headers=headers)


class FilePieces:
    """The next `count` bytes of an open file (None: all of them), in pieces. Closes the file."""

    def __init__(self, source: BinaryIO, count: int | None = None) -> None:
        self._source = source
        self._left = count

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        wanted = FILE_PIECE_BYTES if self._left is None else min(FILE_PIECE_BYTES, self._left)
        piece = self._source.read(wanted) if wanted else b""
        if not piece:
            self.close()
            raise StopIteration
        if self._left is not None:
            self._left -= len(piece)
        return piece

    def close(self) -> None:
        self._source.close()


class AsyncPieces:
    """A synchronous iterator for an asynchronous server, read in the request's own thread. Closes the iterator."""

    def __init__(self, pieces: Iterator[bytes | str]) -> None:
        self._pieces = pieces

    def __aiter__(self) -> "AsyncPieces":
        return self

    async def __anext__(self) -> bytes | str:
        try:
            piece = await sync_to_async(lambda: next(self._pieces, None))()
        except AnswerCutOff:
            # Django closes an answer that was sent or given up, but not one that failed: its connection would be lost.
            await sync_to_async(close_old_connections)()
            raise
        if piece is None:
            raise StopAsyncIteration
        return piece

    def close(self) -> None:
        """Called by Django in the same thread, after what is being read there."""
        _close(self._pieces)


class _ToldPieces:
    """Pieces whose failure is told in the log, not by an exception that the server would take for another thing."""

    def __init__(self, pieces: Iterable[bytes | str], path: str) -> None:
        self._pieces = iter(pieces)
        self._path = path

    def __iter__(self) -> Iterator[bytes | str]:
        return self

    def __next__(self) -> bytes | str:
        try:
            return next(self._pieces)
        except StopIteration:
            raise
        except Exception:
            logger.exception("The answer to %s broke off", self._path)
            self.close()
            raise AnswerCutOff(f"The answer to {self._path} broke off; the log says above why") from None

    def close(self) -> None:
        _close(self._pieces)


def _close(pieces: object) -> None:
    close = getattr(pieces, "close", None)
    if close is not None:
        close()
