"""Django's ASGI handler, on threads and connections that are used again.

Django's own gives each request a thread, and with it a connection to the database, that end with it, and visits that
thread once for each hook of each middleware: on a busy machine each visit is a wait for the interpreter's lock. Here a
request goes through all middlewares and its view in one visit, on a thread that has served others; and so many are
served at once as the machine has use for, while the rest waits its turn: fifty threads at once would take turns at
random, and some wait for long.
"""

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.db import connections
from django.http import HttpRequest, HttpResponseBase

NEVER_WAITING = "/health"  # whoever asks it wants to know whether the rest waits
IDLE_THREADS = 64  # kept for the next requests, each with its connection to SQLite


class PooledHandler(ASGIHandler):
    """Serves `settings.REQUESTS_AT_ONCE` requests at a time; receiving a body and sending a stream do not count."""

    def __init__(self) -> None:
        super().__init__()
        self._turns = asyncio.Semaphore(settings.REQUESTS_AT_ONCE)
        self._idle: deque[ThreadPoolExecutor] = deque()  # of one thread each; the last used one is taken first

    def load_middleware(self, is_async: bool = False) -> None:
        """Synchronous from end to end, whatever Django's handler asks for."""
        super().load_middleware(is_async=False)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        executor = self._idle.pop() if self._idle else ThreadPoolExecutor(1, thread_name_prefix="request")
        try:
            async with ThreadSensitiveContext(executor=executor):
                await self.handle(scope, receive, send)
        finally:
            # By way of the thread itself: a request that was given up may still be at work there.
            executor.submit(self._put_back, executor)

    def _put_back(self, executor: ThreadPoolExecutor) -> None:
        if len(self._idle) < IDLE_THREADS:
            self._idle.append(executor)
        else:
            connections.close_all()
            executor.shutdown(wait=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        if request.path.startswith(NEVER_WAITING):
            return await sync_to_async(self.get_response)(request)
        async with self._turns:
            return await sync_to_async(self.get_response)(request)
