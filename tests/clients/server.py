"""A small real HTTP server that speaks the tracking contract, remembers all it is told, and fails when told to."""

import hashlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

USERNAME, PASSWORD, API_KEY = "ann", "password", "key-of-ann"


@dataclass
class Fault:
    """What happens to the next request that it matches. `store`: the request is carried out before the answer fails."""

    status: int = 0  # 0: the connection is closed without an answer
    headers: dict[str, str] = field(default_factory=dict)
    store: bool = False
    method: str = ""
    path: str = ""
    body: dict[str, Any] = field(default_factory=dict)

    def matches(self, method: str, path: str) -> bool:
        return self.method in ("", method) and path.startswith(self.path)


class Tracking:
    """What the server keeps. Points are (run id, name, step, value, time), in the order in which they arrived."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.projects: list[dict[str, Any]] = []
        self.runs: dict[int, dict[str, Any]] = {}
        self.points: list[tuple[int, str, int, float, float]] = []
        self.answers: dict[str, tuple[bytes, Any]] = {}
        self.tells_next_step = True  # in summaries, beyond the document
        self.requests: list[tuple[str, str, dict[str, str], float]] = []
        self.faults: deque[Fault] = deque()
        self.away = False
        self.tokens: set[str] = set()
        self.logins = 0
        self.delay = 0.0
        self.limit: Callable[[str, str], float | None] = lambda method, path: None
        self.refused_fields: set[str] = set()
        self.files: dict[tuple[int, str], bytes] = {}
        self.uploads: dict[str, dict[str, Any]] = {}  # what was announced, and `data`
        self.assembling = 0  # so many times `complete` answers that the file is still being read

    def series(self, run_id: int, name: str) -> list[tuple[int, float]]:
        return [(step, value) for run, series, step, value, _ in self.points if (run, series) == (run_id, name)]

    def requests_to(self, method: str, path: str) -> list[tuple[str, str, dict[str, str], float]]:
        return [request for request in self.requests if request[0] == method and request[1].startswith(path)]


class _Refusal(Exception):
    def __init__(self, status: int, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.body = {"detail": detail, **more}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Tracking

    def log_message(self, *_: Any) -> None: ...

    def _handle(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        state, path = self.state, urlsplit(self.path).path
        state.requests.append((self.command, self.path, dict(self.headers), time.monotonic()))
        if state.delay:
            threading.Event().wait(state.delay)
        fault = next((fault for fault in state.faults if fault.matches(self.command, path)), None)
        if fault is not None:
            state.faults.remove(fault)
            if fault.store:
                self._carry_out(content)
        if state.away or (fault is not None and not fault.status):
            self.close_connection = True
            return
        if fault is not None:
            self._answer(fault.status, fault.body or {"detail": "told to fail"}, fault.headers)
            return
        wait = state.limit(self.command, path)
        if wait is not None:
            self._answer(429, {"detail": "Too many requests"}, {"Retry-After": str(wait)})
            return
        self._answer(*self._carry_out(content))

    do_GET = do_POST = do_PUT = do_PATCH = _handle  # noqa: N815

    def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _carry_out(self, content: bytes) -> tuple[int, Any]:
        with self.state.lock:
            try:
                return self._route(content)
            except _Refusal as refusal:
                return refusal.status, refusal.body

    def _route(self, content: bytes) -> tuple[int, Any]:
        parts, query = urlsplit(self.path).path.strip("/").split("/"), parse_qs(urlsplit(self.path).query)
        if parts == ["auth", "login"]:
            return self._login(parse_qs(content.decode()))
        is_file = self.headers.get("Content-Type") == "application/octet-stream"
        body = json.loads(content) if content and not is_file else {}
        if parts == ["auth", "refresh"]:
            return self._token() if body.get("refresh_token") == "refresh" else self._refuse_credentials()
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token != API_KEY and token not in self.state.tokens:
            return self._refuse_credentials()
        state = self.state
        match self.command, *parts:
            case "GET", "auth", "me":
                return 200, {"id": 1, "username": USERNAME}
            case "GET", "projects":
                return 200, self._page(state.projects, query)
            case "POST", "projects":
                project = {"id": len(state.projects) + 1, "owner_id": 1, **body}
                state.projects.append(project)
                return 201, project
            case "GET", "runs":
                runs = [run for run in state.runs.values() if str(run["project_id"]) in query["project_id"]]
                return 200, self._page([{"id": run["id"], "name": run["name"]} for run in reversed(runs)], query)
            case "POST", "runs":
                return self._create_run(int(query["project_id"][0]), body)
            case "GET", "runs", run_id:
                return 200, self._run(run_id)
            case "GET", "runs", run_id, "environment":
                run = self._run(run_id)
                return 200, {name: run.get(name, {}) for name in ("environment", "git")}
            case "PUT", "runs", run_id:
                run = self._run(run_id)
                unknown = state.refused_fields & set(body)
                if unknown:
                    raise _Refusal(400, "Validation error", errors={name: ["Unknown field."] for name in unknown})
                run.update(body)
                return 200, run
            case "POST", "metrics", run_id, "batch":
                return self._log(self._run(run_id), content, body)
            case "PUT", "runs", run_id, "artifacts", *rest:
                return self._file(run_id, unquote("/".join(rest)), content)
            case "POST", "runs", run_id, "artifacts":
                known = [data for data in state.files.values() if hashlib.sha256(data).hexdigest() == body["sha256"]]
                if not known:
                    raise _Refusal(404, "Resource not found")
                return self._file(run_id, body["path"], known[0])
            case _, "runs", run_id, "uploads", *rest:
                return self._upload(run_id, rest, content, body)
            case "GET", "metrics", run_id, "summary":
                names = {point[1] for point in state.points if point[0] == int(run_id)}
                return 200, [self._summary(int(run_id), name) for name in sorted(names)]
            case "GET", "metrics", run_id, "history", *rest:
                series = state.series(int(run_id), "/".join(rest).replace("%20", " "))
                return 200, {"steps": [step for step, _ in series], "values": [value for _, value in series]}
        raise _Refusal(404, "Resource not found")

    def _summary(self, run_id: int, name: str) -> dict[str, Any]:
        if not self.state.tells_next_step:
            return {"name": name}
        return {"name": name, "next_step": max(step for step, _ in self.state.series(run_id, name)) + 1}

    def _login(self, form: dict[str, list[str]]) -> tuple[int, Any]:
        self.state.logins += 1
        right = form.get("username") == [USERNAME] and form.get("password") == [PASSWORD]
        return self._token() if right else self._refuse_credentials()

    def _token(self) -> tuple[int, Any]:
        token = f"token-{len(self.state.requests)}"
        self.state.tokens.add(token)
        return 200, {"access_token": token, "token_type": "bearer", "refresh_token": "refresh"}

    def _refuse_credentials(self) -> tuple[int, Any]:
        raise _Refusal(401, "Could not validate credentials")

    def _run(self, run_id: str) -> dict[str, Any]:
        run = self.state.runs.get(int(run_id))
        if run is None:
            raise _Refusal(404, "Resource not found")
        return run

    def _create_run(self, project_id: int, body: dict[str, Any]) -> tuple[int, Any]:
        if not any(project["id"] == project_id for project in self.state.projects):
            raise _Refusal(404, "Resource not found")
        if set(body) - {"name", "config", "tags", "environment", "git"}:
            raise _Refusal(400, "Validation error", errors={"name": ["Unknown field."]})
        run_id = len(self.state.runs) + 1
        run = {"id": run_id, "project_id": project_id, "status": "running", "ended_at": None, **body}
        self.state.runs[run_id] = run
        return 201, run

    def _log(self, run: dict[str, Any], content: bytes, body: dict[str, Any]) -> tuple[int, Any]:
        key = self.headers.get("Idempotency-Key")
        if key in self.state.answers:
            seen, answer = self.state.answers[key]
            if seen != content:
                raise _Refusal(400, "Validation error", reason="this key came with another body")
            return 201, answer
        rows = [
            (run["id"], name, step, value, time)
            for name, columns in body["series"].items()
            for step, value, time in zip(columns["steps"], columns["values"], columns["timestamps"], strict=True)
        ]
        self.state.points += rows
        answer = {"message": f"Logged {len(rows)} metrics successfully"}
        if key is not None:
            self.state.answers[key] = (content, answer)
        return 201, answer

    def _file(self, run_id: str, path: str, data: bytes) -> tuple[int, Any]:
        self.state.files[self._run(run_id)["id"], path] = data
        return 201, {"path": path, "size": len(data)}

    def _upload(self, run_id: str, rest: list[str], content: bytes, body: dict[str, Any]) -> tuple[int, Any]:
        uploads = self.state.uploads
        if not rest:
            known = [key for key, upload in uploads.items() if upload["order"] == (run_id, body)]
            key = known[0] if known else f"upload-{len(self.state.requests)}"
            uploads.setdefault(key, {"order": (run_id, body), "data": b""})
            return 200 if known else 201, self._shown(key)
        if rest[0] not in uploads:
            raise _Refusal(404, "Resource not found")
        upload = uploads[rest[0]]
        if rest[1:] == ["complete"]:
            if self.state.assembling:
                self.state.assembling -= 1
                return 202, self._shown(rest[0])
            if hashlib.sha256(upload["data"]).hexdigest() != upload["order"][1]["sha256"]:
                raise _Refusal(400, "Validation error", errors={"sha256": ["Other bytes came."]})
            del uploads[rest[0]]
            return self._file(run_id, upload["order"][1]["path"], upload["data"])
        if self.command == "PATCH":
            if int(self.headers["Upload-Offset"]) != len(upload["data"]):
                raise _Refusal(400, "Validation error", errors={"offset": ["Go on elsewhere."]})
            upload["data"] += content
        return 200, self._shown(rest[0])

    def _shown(self, key: str) -> dict[str, Any]:
        return {"id": key, "offset": len(self.state.uploads[key]["data"]), "min_piece": 1, "max_piece": 1000}

    def _page(self, items: list[Any], query: dict[str, list[str]]) -> list[Any]:
        skip, limit = int(query.get("skip", ["0"])[0]), int(query.get("limit", ["100"])[0])
        return items[skip : skip + limit]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is no failure of the server's."""


class TrackingServer:
    """`Tracking` on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        self.state = Tracking()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": self.state}))
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
