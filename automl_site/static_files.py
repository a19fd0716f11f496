"""Static files under an asynchronous server.

WhiteNoise's own middleware is synchronous. Django would hand every request, also those that it has nothing for, to a
thread and back because of it, and read each file whole before sending it.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponseBase
from whitenoise.middleware import WhiteNoiseFileResponse, WhiteNoiseMiddleware

from automl_site.streaming import AsyncPieces, FilePieces


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """WhiteNoise for synchronous and asynchronous chains alike."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        return self._call_async(request) if self.is_async else super().__call__(request)

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        if self.autorefresh:
            found = await sync_to_async(self.find_file)(request.path_info)
        else:
            found = self.files.get(request.path_info)
        if found is None:
            return await self.get_response(request)
        answer: WhiteNoiseFileResponse = await sync_to_async(self.serve)(found, request)
        file = answer.file_to_stream
        answer.streaming_content = AsyncPieces(iter(()) if file is None else FilePieces(file))
        return answer
