"""The platform's HTTP contract, as calls: one kept connection, a bearer token that renews itself, errors sorted by what
the caller can do about them (`Unavailable`: later; `Refused`: never).
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

from ai_manager.errors import AuthenticationError, Refused, Throttled, Unavailable
from ai_manager.version import __version__

# Servers close a connection that has been idle for some seconds (uvicorn: 5); a request on it would be lost in between.
MAX_IDLE_SECONDS = 3.0
MAX_ANSWER = 64 << 20  # bytes
OVERLOADED = (408, 425, 500, 502, 503, 504)
MAX_DETAIL = 500


class Credentials:
    """Who logs: an API key, or a user name and a password."""

    def __init__(self, *, api_key: str = "", username: str = "", password: str = "") -> None:
        self.api_key = api_key
        self.username = username
        self.password = password

    @property
    def account(self) -> str:
        """What tells accounts apart on disk; it gives no secret away."""
        if self.api_key:
            return "key:" + hashlib.sha256(self.api_key.encode()).hexdigest()[:16]
        return f"user:{self.username}"

    def __bool__(self) -> bool:
        return bool(self.api_key or self.username)


class Api:
    """One server as one user. Any thread may call; the calls take turns on one connection.

    `anonymous`: without credentials calls go without a token, as the platform's open mode takes them.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        timeout: float = 20.0,
        anonymous: bool = False,
        agent: str = "ai_manager",
    ) -> None:
        self.url = url
        self.credentials = credentials
        self.timeout = timeout
        self.anonymous = anonymous
        self.agent = f"{agent}/{__version__}"
        self.forget()

    def forget(self) -> None:
        """Start anew in a forked child: the parent's connection and lock are not ours to use."""
        self._lock = threading.RLock()
        self._connection: http.client.HTTPConnection | None = None
        self._used = 0.0
        self._token = self.credentials.api_key
        self._refresh = ""

    # --- Calls ------------------------------------------------------------------------------------------------------

    def call(
        self,
        method: str,
        path: str,
        body: None | bytes | Iterable[bytes] | Mapping[str, Any] = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """The decoded JSON answer of one request, signed in first and once more when the token has expired.

        A body in pieces needs its Content-Length among the `headers`.

        Raises:
            Unavailable: no answer, an overloaded server, a rate limit (`Throttled`), refused credentials
                (`AuthenticationError`).
            Refused: any other 4xx, or an answer that is no JSON.
        """
        data = json.dumps(body).encode() if isinstance(body, Mapping) else body
        with self._lock:
            if not self._token and (self.credentials or not self.anonymous):
                self._sign_in(timeout)
            try:
                return self._exchange(method, path, data, headers, timeout)
            except AuthenticationError:
                if self.credentials.api_key or not self._token:
                    raise
                self._sign_in(timeout)
                return self._exchange(method, path, data, headers, timeout)

    def close(self) -> None:
        """Close the connection; the next call opens one."""
        with self._lock:
            self._disconnect()

    # --- Signing in -------------------------------------------------------------------------------------------------

    def _sign_in(self, timeout: float | None) -> None:
        """A token for the next calls: by the refresh token, or by name and password."""
        refresh, self._refresh, self._token = self._refresh, "", ""
        if refresh:
            try:
                self._keep(self._send("POST", "/auth/refresh", {"refresh_token": refresh}, timeout))
                return
            except (AuthenticationError, Refused):
                pass  # it has expired too: sign in by name and password
        credentials = self.credentials
        if not credentials.username:
            raise AuthenticationError("No credentials: give api_key, or username and password.", sent=False)
        form = urlencode({"username": credentials.username, "password": credentials.password}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        self._keep(self._exchange("POST", "/auth/login", form, headers, timeout))

    def _send(self, method: str, path: str, body: Mapping[str, Any], timeout: float | None) -> Any:
        return self._exchange(method, path, json.dumps(body).encode(), None, timeout)

    def _keep(self, answer: Any) -> None:
        if not isinstance(answer, dict) or not isinstance(answer.get("access_token"), str):
            raise Refused(f"{self.url} answered the login with something else than a token.", status=200)
        self._token = answer["access_token"]
        self._refresh = str(answer.get("refresh_token") or "")

    # --- One request ------------------------------------------------------------------------------------------------

    def _exchange(
        self,
        method: str,
        path: str,
        data: None | bytes | Iterable[bytes],
        headers: Mapping[str, str] | None,
        timeout: float | None,
    ) -> Any:
        sent_headers = {"User-Agent": self.agent, "Accept": "application/json"}
        if data is not None:
            sent_headers["Content-Type"] = "application/json"
        if self._token:
            sent_headers["Authorization"] = f"Bearer {self._token}"
        sent_headers.update(headers or {})
        connection = self._connect(timeout or self.timeout)
        sent = False
        try:
            connection.connect() if connection.sock is None else connection.sock.settimeout(timeout or self.timeout)
            sent = True
            connection.request(method, self._target(path), body=data, headers=sent_headers)
            answer = connection.getresponse()
            content = answer.read(MAX_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            self._disconnect()
            # Its text may be empty (a time limit, a closed connection): the type says it then.
            reason = str(error) or type(error).__name__
            raise Unavailable(f"{self.url} does not answer: {reason}", sent=sent) from error
        except BaseException:  # Ctrl-C in the middle of an answer: what is left of it must not be read as the next one
            self._disconnect()
            raise
        self._used = time.monotonic()
        if answer.will_close or not answer.isclosed():
            self._disconnect()
        return self._judge(method, path, answer, content)

    def _judge(self, method: str, path: str, answer: http.client.HTTPResponse, content: bytes) -> Any:
        status = answer.status
        if 200 <= status < 300:
            try:
                return json.loads(content) if content else None
            except ValueError as error:
                raise Refused(f"{method} {self.url}{path} answered no JSON: is this the platform's address?",
                              status=status) from error  # fmt: skip
        body = _decoded(content)
        message = f"{method} {path}: {status} {_detail(body)}"
        if status == 401:
            raise AuthenticationError(message, sent=False, status=status, body=body)
        if status == 429:
            raise Throttled(message, retry_after=_retry_after(answer), sent=False, status=status, body=body)
        if status in OVERLOADED:
            raise Unavailable(message, retry_after=_retry_after(answer), status=status, body=body)
        raise Refused(message, status=status, body=body)

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        if self._connection is not None and time.monotonic() - self._used > MAX_IDLE_SECONDS:
            self._disconnect()
        if self._connection is None:
            self._connection = _connection(self.url, timeout)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _target(self, path: str) -> str:
        parts = urlsplit(self.url)
        through_proxy = parts.scheme == "http" and _proxy(self.url) is not None
        return f"{self.url}{path}" if through_proxy else f"{parts.path}{path}"


def _connection(url: str, timeout: float) -> http.client.HTTPConnection:
    """A connection to the server of `url`, through the environment's proxy where there is one."""
    parts = urlsplit(url)
    host, proxy = parts.hostname or "", _proxy(url)
    if parts.scheme == "http":
        target = urlsplit(proxy) if proxy else parts
        return http.client.HTTPConnection(target.hostname or "", target.port or 80, timeout=timeout)
    context = ssl.create_default_context()
    if proxy is None:
        return http.client.HTTPSConnection(host, parts.port or 443, timeout=timeout, context=context)
    through = urlsplit(proxy)
    tunnel = http.client.HTTPSConnection(through.hostname or "", through.port or 80, timeout=timeout, context=context)
    headers = {}
    if through.username:
        pair = f"{unquote(through.username)}:{unquote(through.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    tunnel.set_tunnel(host, parts.port or 443, headers)
    return tunnel


def _proxy(url: str) -> str | None:
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if not proxy or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _decoded(content: bytes) -> Any:
    """An answer's JSON; what is none, as text."""
    try:
        return json.loads(content)
    except ValueError:
        return content[:MAX_DETAIL].decode("utf-8", "replace")


def _detail(body: Any) -> str:
    """The server's own words, which name what is wrong."""
    if not isinstance(body, dict):
        return str(body)[:MAX_DETAIL]
    parts = [str(body.get("detail", "")), str(body.get("reason", ""))]
    errors = body.get("errors")
    if isinstance(errors, dict):
        parts += [f"{name}: {' '.join(map(str, what)) if isinstance(what, list) else what}"
                  for name, what in errors.items()]  # fmt: skip
    return " ".join(part for part in parts if part)[:MAX_DETAIL]


def _retry_after(answer: http.client.HTTPResponse) -> float | None:
    """Seconds, from either form of the header."""
    text = answer.headers.get("Retry-After", "")
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, IndexError):
        return None
