"""The short way for the two reads that are asked most: a page of a project's runs, and a metric's chart.

An ASGI application in front of Django: it answers `GET /runs/?project_id=…` (`skip`, `limit`) and
`GET /metrics/{run_id}/history/{name}?max_points=…` (`since_step`) as their views do, by the same selectors. What else
comes, or cannot be answered with 200, goes on to the view.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from django.conf import settings
from django.db import connection

from api.base.renderers import dumps
from api.base.throttling import TRACKING_CALLS
from api.tracking import answers, short_way
from api.tracking.serializers import LIMIT_DEFAULT, LIMIT_MAX, MAX_SKIP
from api.tracking.tally import Tally
from automl_site.bodies import Application, Message, Receive, Send
from automl_site.errors import DomainError
from tracking.access import project_reader_of, run_reader_of
from tracking.selectors.metrics import chart_of
from tracking.selectors.run_pages import run_page
from tracking.store import MIN_DOWNSAMPLED

logger = logging.getLogger(__name__)

THREADS = 2  # each with a connection of its own; more would only wait for each other, and points for them
# Of a limit, so much may be counted here alone. Little: views count against the same limits, and what is left is told
# on each answer; of the contract's own 100 a minute and 1000 an hour each call is counted in Redis.
SHARE = 0.0005
_HISTORY = re.compile(r"/metrics/([0-9]{1,18})/history/(.*[^/])", re.DOTALL)
_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(slots=True)
class Answer:
    user_id: int
    body: bytes
    headers: list[short_way.Header] = field(default_factory=list)


@dataclass(slots=True)
class Order:
    """A request that may be answered here: `read` asks the database, and answers None if the view is to answer."""

    head: short_way.Head
    allow: bytes
    read: Callable[[str], Answer | None]  # of a token


class Reads:
    """The ASGI application around another one, which gets what is not for this."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="reads")
        self._tally = Tally(TRACKING_CALLS, SHARE)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        order = order_of(scope)
        answer = None
        if order is not None:
            answer = await asyncio.get_running_loop().run_in_executor(self._threads, self._answer, order)
        if order is None or answer is None:
            await self.application(scope, receive, send)
            return
        body, headers = answer
        await short_way.send_json(send, 200, body, headers)

    def _answer(self, order: Order) -> tuple[bytes, list[short_way.Header]] | None:
        try:
            return self._counted(order)
        except DomainError:
            return None
        except Exception as error:  # noqa: BLE001  (the view answers instead, and says what is wrong)
            logger.warning("a read was not answered the short way: %s", error)
            connection.close()  # kept otherwise: to open one costs more than to read
            return None

    def _counted(self, order: Order) -> tuple[bytes, list[short_way.Header]] | None:
        answer = order.read(order.head.token)
        if answer is None:
            return None
        usage = self._tally.count(answer.user_id)
        if usage is not None and usage.exceeded:
            return None
        limits = short_way.limit_headers(usage, usage.used if usage is not None else 0)
        return answer.body, [*short_way.answer_headers(order.head, allow=order.allow), *answer.headers, *limits]


def order_of(scope: Message) -> Order | None:
    """The order in a request's head, if it may be answered here."""
    # In open mode calls are counted by who makes them, which the view finds out.
    if scope["type"] != "http" or scope["method"] != "GET" or settings.OPEN_MODE:
        return None
    path, given = scope["path"], scope.get("query_string", b"")
    chart = _HISTORY.fullmatch(path)
    if chart is None and path not in ("/runs/", "/runs"):
        return None
    query = _numbers(given)
    head = short_way.head_of(scope)
    if query is None or head is None:
        return None
    if chart is not None:
        return _chart_order(head, int(chart[1]), chart[2], query)
    return _page_order(head, query)


def _numbers(query_string: bytes) -> dict[str, int] | None:
    """The query as whole numbers by their names; None if there is anything else in it."""
    try:
        pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, max_num_fields=3)
    except ValueError:
        return None
    numbers = {name: int(value) for name, value in pairs if _NUMBER.fullmatch(value)}
    return numbers if len(numbers) == len(pairs) else None


def _page_order(head: short_way.Head, query: dict[str, int]) -> Order | None:
    skip, limit = query.get("skip", 0), min(query.get("limit", LIMIT_DEFAULT), LIMIT_MAX)
    if "project_id" not in query or query.keys() - {"project_id", "skip", "limit"} or skip > MAX_SKIP:
        return None

    def read(token: str) -> Answer | None:
        user_id = project_reader_of(token=token, project_id=query["project_id"])
        if user_id is None:
            return None
        runs, total = run_page(project_id=query["project_id"], skip=skip, limit=limit)
        body = dumps([answers.run_item(run) for run in runs])
        return Answer(user_id, body, [(b"x-total-count", b"%d" % total)])

    return Order(head, b"GET, POST, HEAD, OPTIONS", read)


def _chart_order(head: short_way.Head, run_id: int, name: str, query: dict[str, int]) -> Order | None:
    if query.get("max_points", 0) < MIN_DOWNSAMPLED or query.keys() - {"max_points", "since_step"} or "\0" in name:
        return None

    def read(token: str) -> Answer | None:
        user_id = run_reader_of(token=token, run_id=run_id)
        if user_id is None:
            return None
        columns = chart_of(run_id, name=name, max_points=query["max_points"], since_step=query.get("since_step"))
        return Answer(user_id, dumps(answers.history(name, columns)))

    return Order(head, b"GET, HEAD, OPTIONS", read)
