"""The URL map of the sockets."""

from typing import Any

from channels.routing import URLRouter
from django.urls import re_path

from jobs.consumers import JobSocket
from tracking.consumers import RunSocket, UnknownSocket

# Typed for URLRouter, which calls ASGI applications where Django would call views.
_job: Any = JobSocket()
_run: Any = RunSocket()
_unknown: Any = UnknownSocket()

websocket_application = URLRouter(
    [
        re_path(r"^ws/jobs/(?P<job_id>[^/]+)/?$", _job),
        re_path(r"^ws/(?P<run_id>[^/]+)/?$", _run),
        re_path(r"", _unknown),
    ]
)
