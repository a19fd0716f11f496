"""The document's rate limits, metric posts apart, and users' own limits."""

from collections.abc import Callable, Iterator

import pytest

from api.tracking import documents
from tests.contracts.tracking.conftest import Api
from tracking.models import User, UserRate
from tracking.selectors.rates import forget_rates

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_rates_of_other_tests() -> Iterator[None]:
    forget_rates()
    yield
    forget_rates()


@pytest.fixture
def limits(settings: object) -> Callable[..., None]:
    def set_(**rates: str) -> None:
        settings.RATE_LIMITS = {**settings.RATE_LIMITS, **rates}

    return set_


def test_the_documents_limits_are_the_ones_set(settings: object) -> None:
    names = ("tracking_minute", "tracking_hour", "tracking_metrics")
    assert [settings.RATE_LIMITS[name] for name in names] == ["100/m", "1000/h", "100/s"]


@pytest.mark.parametrize(("name", "seconds"), [("tracking_minute", 60), ("tracking_hour", 3600)])
def test_calls_beyond_a_limit_are_429_in_the_contracts_body(
    api: Api, run_id: int, limits: Callable[..., None], name: str, seconds: int
) -> None:
    limits(**{name: "3/m" if seconds == 60 else "3/h"})
    assert [api.call("GET", path).status for path in ("/projects/", "/runs/", f"/runs/{run_id}")] == [200] * 3
    refused = api.call("GET", "/runs/")
    assert refused.status == 429
    assert refused.body == {"detail": "Too many requests; try again later."}
    assert 0 < int(refused.headers["Retry-After"]) <= seconds
    assert (refused.headers["X-RateLimit-Limit"], refused.headers["X-RateLimit-Remaining"]) == ("3", "0")


def test_metric_posts_are_counted_apart(api: Api, run_id: int, limits: Callable[..., None]) -> None:
    limits(tracking_minute="1/m", tracking_metrics="2/h")
    for path, body in (("", documents.METRIC_IN), ("/batch", documents.BATCH_METRICS)):
        logged = api.call("POST", f"/metrics/{run_id}{path}", body)
        assert (logged.status, logged.headers["X-RateLimit-Limit"]) == (201, "2")
    assert api.call("POST", f"/metrics/{run_id}", documents.METRIC_IN).status == 429
    reading = api.call("GET", f"/metrics/{run_id}")
    assert (reading.status, reading.headers["X-RateLimit-Remaining"]) == (200, "0")


def test_what_sends_files_is_counted_as_metric_posts_are(api: Api, run_id: int, limits: Callable[..., None]) -> None:
    limits(tracking_minute="1/m", tracking_metrics="4/h")
    order = {"path": "y", "size": 1, "sha256": "0" * 64}
    upload = api.call("POST", f"/runs/{run_id}/uploads", order)
    statuses = [
        upload.status,
        api.call("PUT", f"/runs/{run_id}/artifacts/x", b"x").status,
        api.call("PATCH", f"/runs/{run_id}/uploads/{upload.body['id']}", b"x", **{"Upload-Offset": "0"}).status,
        api.call("POST", f"/runs/{run_id}/artifacts", {"path": "z", "sha256": "0" * 64}).status,
        api.call("PUT", f"/runs/{run_id}/artifacts/x", b"x").status,
    ]
    assert statuses == [201, 201, 200, 404, 429]
    assert [api.call("GET", f"/runs/{run_id}/artifacts").status for _ in range(2)] == [200, 429]


def test_users_are_counted_apart(
    api: Api, make_user: Callable[..., User], api_of: Callable[[User], Api], limits: Callable[..., None]
) -> None:
    limits(tracking_minute="1/m")
    other = api_of(make_user("bob"))
    assert [api.call("GET", "/projects/").status for _ in range(2)] == [200, 429]
    assert other.call("GET", "/projects/").status == 200


def test_a_user_may_have_limits_of_its_own(
    api: Api, user: User, make_user: Callable[..., User], api_of: Callable[[User], Api], limits: Callable[..., None]
) -> None:
    limits(tracking_minute="1/m", tracking_hour="")
    UserRate.objects.create(user=user, name=UserRate.Name.TRACKING_MINUTE, rate="3/m")
    assert [api.call("GET", "/projects/").status for _ in range(4)] == [200, 200, 200, 429]
    unlimited = make_user("bob")
    UserRate.objects.create(user=unlimited, name=UserRate.Name.TRACKING_MINUTE, rate="")
    forget_rates()
    other = api_of(unlimited)
    assert [other.call("GET", "/projects/").status for _ in range(4)] == [200] * 4


def test_what_is_not_to_be_read_as_a_rate_is_refused_in_the_admin(client: object, make_user: object) -> None:
    operator = make_user("operator", is_staff=True, is_superuser=True)
    client.force_login(operator)
    form = {"user": operator.pk, "name": "tracking_minute", "rate": "many"}
    page = client.post("/admin/tracking/userrate/add/", form)
    assert "a rate is written as count/period" in page.content.decode()
    assert client.post("/admin/tracking/userrate/add/", form | {"rate": "5/m"}).status_code == 302
    assert UserRate.objects.get().rate == "5/m"
