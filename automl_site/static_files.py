"""Static files under an asynchronous server."""

from collections.abc import AsyncIterator

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponseBase
from whitenoise.base import StaticFile
from whitenoise.middleware import WhiteNoiseFileResponse, WhiteNoiseMiddleware

from automl_site.streaming import FILE_PIECE_BYTES, AsyncPieces, FilePieces


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """WhiteNoise, whose own answers Django reads whole before it sends any of them, with a warning for each."""

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponseBase:
        """The file's answer. A file of one piece, as most are, is read here."""
        answer: WhiteNoiseFileResponse = WhiteNoiseMiddleware.serve(static_file, request)
        if not isinstance(request, ASGIRequest):
            return answer
        file = answer.file_to_stream
        if file is None:
            answer.streaming_content = _at_once(b"")
        elif int(answer["Content-Length"]) <= FILE_PIECE_BYTES:
            with file:
                answer.streaming_content = _at_once(file.read(FILE_PIECE_BYTES))
        else:
            answer.streaming_content = AsyncPieces(FilePieces(file))
        return answer


async def _at_once(content: bytes) -> AsyncIterator[bytes]:
    if content:
        yield content
