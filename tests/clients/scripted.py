"""A server on a free port of 127.0.0.1 that answers what the test has written down, one answer a request."""

import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ScriptedServer:
    """`answers`: (status, body[, headers]) each; None takes the request and closes the connection without a word."""

    def __init__(self) -> None:
        self.answers: deque[tuple[int, Any] | tuple[int, Any, dict[str, str]] | None] = deque()
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"script": self}))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def asked(self) -> list[str]:
        """ "METHOD /path" of each request."""
        return [f"{method} {path}" for method, path, _, _ in self.requests]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: ScriptedServer

    def log_message(self, *_: Any) -> None: ...

    def _handle(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        is_json = self.headers.get("Content-Type") == "application/json"
        body = json.loads(content) if is_json else content
        self.script.requests.append((self.command, self.path, dict(self.headers), body))
        answer = self.script.answers.popleft()
        if answer is None:
            self.close_connection = True
            return
        status, shown, *more = answer
        sent = shown.encode() if isinstance(shown, str) else json.dumps(shown).encode()
        self.send_response(status)
        for name, value in (more[0] if more else {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    do_GET = do_POST = do_DELETE = _handle  # noqa: N815
