"""A list of the admin asks the database as often for seven rows as for one."""

from django.test import Client

from tests.admin.conftest import fill
from tests.admin.test_walk import MODELS, MOST_QUERIES, address, asked
from tests.pages_server.things import Things


def test_seven_rows_take_as_many_queries_as_one(admin_client: Client, things: Things) -> None:
    lists = [address(model, "changelist") for model in MODELS]
    fill(things, 1)
    one = {path: len(asked(admin_client, path)[1]) for path in lists}
    fill(things, 6, first=1)
    pages = {path: asked(admin_client, path) for path in lists}
    few = [path for path, (answer, _) in pages.items() if answer.context["cl"].result_count < 7]
    assert few == ["/admin/tracking/metriccounter/"]
    assert {path: len(queries) for path, (_, queries) in pages.items()} == one
    assert max(one.values()) <= MOST_QUERIES
