"""The admin's addresses and forms with odd input: a page or a 4xx, never a failure of ours."""

import pytest
from django.db.models import Model
from django.test import Client

from jobs.models import Job
from tests.admin.test_walk import MODELS, address, name_of
from tests.pages_server.things import Things

ODD = ("", "🌳", "x" * 10_000, "a b " * 500, "%_\\", "'; --", "'\"unbalanced", "\ud800", "9" * 5000, "1e999", "-1")

pytestmark = pytest.mark.full


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_no_odd_search_is_a_failure(admin_client: Client, standing: Things, model: type[Model]) -> None:
    path = address(model, "changelist")
    for text in ODD:
        answer = admin_client.get(path, {"q": text.encode(errors="surrogatepass")})
        assert (text[:20], answer.status_code) == (text[:20], 200)
    assert admin_client.get(path, {"q": "a\0b"}).status_code == 400


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_no_odd_filter_order_or_page_is_a_failure(admin_client: Client, standing: Things, model: type[Model]) -> None:
    path = address(model, "changelist")
    for name in (
        "p",
        "o",
        "status__exact",
        "created_at__gte",
        "deleted_at__isempty",
        "id__exact",
        "owner__password",
        "x",
    ):
        for text in (*ODD, "99", "bogus"):
            answer = admin_client.get(path, {name: text.encode(errors="surrogatepass")})
            assert answer.status_code in (200, 302, 400), (name, text[:20])


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_no_odd_id_is_a_failure(admin_client: Client, standing: Things, model: type[Model]) -> None:
    for thing in ("abc", "0", "-1", "9" * 40, "9" * 5000, "🌳", "x" * 2000, "a_00b"):
        answer = admin_client.get(address(model, "change", thing))
        assert (thing[:20], answer.status_code) == (thing[:20], 302)  # to the first page, which says so
    assert admin_client.get(address(model, "changelist") + "a%00b/change/").status_code == 400


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_no_odd_choice_of_rows_is_a_failure(admin_client: Client, standing: Things, model: type[Model]) -> None:
    path = address(model, "changelist")
    form = admin_client.get(path).context["action_form"]
    actions = [name for name, _ in form.fields["action"].choices if name] if form else []
    for action in (*actions, "bogus", "delete_selected"):
        for chosen in ("abc", "a\0b", "9" * 5000, "-1", "🌳", ""):
            answer = admin_client.post(path, {"action": action, "_selected_action": [chosen]}, follow=True)
            assert (action, chosen[:20], answer.status_code) == (action, chosen[:20], 200)


def test_a_job_is_found_by_each_way_of_writing_its_id(admin_client: Client, things: Things) -> None:
    job, _ = things.training(), things.training()
    for text in (str(job.pk), job.public_id, str(job.pk)[:13], f" {job.public_id} ", job.pk.hex):
        found = admin_client.get(address(Job, "changelist"), {"q": text}).context["cl"].result_list
        assert [row.pk for row in found] == [job.pk], text


def test_a_search_of_very_many_words_says_how_many_it_used(admin_client: Client, things: Things) -> None:
    page = admin_client.get(address(Job, "changelist"), {"q": "plants " * 500}).content.decode()
    assert "Searched for the first 20 of 500 words." in page
