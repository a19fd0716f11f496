"""Every page, wide and narrow, light and dark: nothing sticks out, nothing that WCAG's A and AA rules refuse."""

import re
from collections.abc import Callable, Iterator

import pytest
from django.conf import LazySettings
from django.contrib.auth.tokens import default_token_generator
from django.test import Client
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from playwright.sync_api import Page, expect

from jobs.models import Job, TrainedModel
from jobs.services.control import job_cancel
from jobs.services.submission import inference_submit
from tests.conftest import in_brief, wait_until
from tests.pages.conftest import PageErrors
from tests.pages.site import Person, Site

NOBODY = {
    "sign in": "/login",
    "register": "/register",
    "password forgotten": "/password-reset/",
    "password mail sent": "/password-reset/sent/",
    "password was reset": "/password-reset/done/",
}
NEWCOMER = {
    "empty dashboard": "/ui/",
    "no jobs": "/ui/jobs/",
    "first job": "/ui/jobs/new/",
    "no models": "/ui/models/",
    "empty models trash": "/ui/models/?trash=1",
    "nothing found": "/ui/search/?q=zzz",
    "account": "/ui/account/",
    "change password": "/ui/account/password/",
    "not found": "/ui/models/model_000000000000/",
}
LISTS = {
    "dashboard": "/ui/",
    "jobs": "/ui/jobs/",
    "models": "/ui/models/",
    "workers": "/ui/workers/",
    "found": "/ui/search/?q=grapes",
    "data sets": "/ui/datasets/",
}


@pytest.fixture(scope="module")
def ann(site: Site) -> Iterator[Person]:
    """Somebody who has one of everything; the training that runs does so till the end."""
    ann = site.new_person()
    ann.trains_two_models()
    grapes = TrainedModel.objects.get(owner=ann.user, name="Grapes")
    rows = [{"alcohol": 11.2, "ash content": 2.3, "organic": "no"}]
    answer = inference_submit(user=ann.user, model_id=grapes.public_id, input_data=rows)
    ann.waits_for(answer, "completed")
    ann.waits_for(ann.sleeper(description="Fails", seconds=0, steps=1, crash="raise"), "failed")
    cancelled = ann.sleeper(description="Cancelled", seconds=60, steps=600)
    wait_until(lambda: Job.objects.get(pk=cancelled.pk).metrics.get("step", 0) > 1, what="two points of a line")
    job_cancel(user=ann.user, job=cancelled)
    ann.waits_for(ann.sleeper(description="Runs", seconds=600, steps=3000), "running")
    ann.sleeper(description="Waits: " + "a rather long description of a job, " * 5, seconds=0, steps=1)
    yield ann
    ann.leaves()


@pytest.mark.parametrize("name", in_brief(NOBODY, "sign in"))
def test_a_page_for_everybody(page: Page, site: Site, look: Callable, name: str) -> None:
    page.goto(site.url + NOBODY[name])
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    look(name)


@pytest.mark.parametrize("name", in_brief(NEWCOMER, "empty dashboard", "account", "not found"))
def test_a_page_of_somebody_who_has_nothing(
    page: Page, person: Person, look: Callable, page_errors: PageErrors, name: str
) -> None:
    page_errors.allow("404" if name == "not found" else "^$")
    person.opens(page, NEWCOMER[name])
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    look(name)


@pytest.fixture
def reset_link(person: Person, site: Site) -> str:
    """What the mail to somebody who forgot the password says."""
    uid = urlsafe_base64_encode(force_bytes(person.user.pk))
    return site.url + reverse("password_reset_confirm", args=[uid, default_token_generator.make_token(person.user)])


@pytest.mark.full
def test_a_new_password(page: Page, reset_link: str, look: Callable) -> None:
    page.goto(reset_link)
    expect(page.get_by_role("heading", name="Set a new password")).to_be_visible()
    look("new password")
    page.locator("#id_new_password1").fill("a-new-password-7")
    page.locator("#id_new_password2").fill("another-password-7")
    page.get_by_role("button", name="Set the password").click()
    expect(page.locator("#id_new_password2")).to_have_attribute("aria-invalid", "true")
    look("new password refused")
    for number in (1, 2):
        page.locator(f"#id_new_password{number}").fill("a-new-password-7")
    page.get_by_role("button", name="Set the password").click()
    page.wait_for_url("**/password-reset/done/")
    page.goto(reset_link)
    expect(page.get_by_role("heading", name="This link is used up")).to_be_visible()
    look("password link used up")


@pytest.mark.full
def test_an_address_that_cannot_be_read(page: Page, person: Person, look: Callable, page_errors: PageErrors) -> None:
    page_errors.allow("400")
    person.opens(page, "/ui/search/?q=%00")
    expect(page.get_by_role("heading", name="The request could not be read")).to_be_visible()
    look("error 400")


def test_what_an_account_may_not_see(page: Page, person: Person, look: Callable, page_errors: PageErrors) -> None:
    page_errors.allow("403")
    person.user.is_staff = True  # the admin's door is open to it, its lists are not
    person.user.save()
    person.opens(page, "/admin/jobs/job/")
    expect(page.get_by_role("heading", name="You may not see this")).to_be_visible()
    look("error 403")


@pytest.mark.full
def test_a_form_that_is_too_old(page: Page, site: Site, look: Callable, page_errors: PageErrors) -> None:
    page_errors.allow("403")
    page.goto(site.url + "/login")
    page.get_by_label("User name or e-mail").fill("ann")
    page.get_by_label("Password").fill("anything")
    page.context.clear_cookies()
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="The form was too old")).to_be_visible()
    look("error 403 form")


@pytest.mark.full
def test_a_failure_of_the_server(
    page: Page, site: Site, look: Callable, page_errors: PageErrors, settings: LazySettings
) -> None:
    """No page of the site fails on demand: what the handlers make of a view that raises is shown at its address."""
    page_errors.allow("500")
    settings.ROOT_URLCONF = "tests.contracts.base.raising_urls"
    answer = Client(raise_request_exception=False).get("/ui/raise/bug", headers={"accept": "text/html"})
    assert answer.status_code == 500
    headers = {name: value for name, value in answer.items() if name != "Content-Length"}
    page.route(
        f"{site.url}/ui/raise/bug", lambda route: route.fulfill(status=500, headers=headers, body=answer.content)
    )
    page.goto(f"{site.url}/ui/raise/bug")
    expect(page.get_by_role("heading", name="The server failed")).to_be_visible()
    expect(page.locator("code")).to_have_text(answer["X-Request-ID"])
    look("error 500")


@pytest.mark.parametrize("name", in_brief(LISTS, "jobs", "models"))
def test_a_list(page: Page, ann: Person, look: Callable, name: str) -> None:
    ann.opens(page, LISTS[name])
    expect(page.get_by_role("main").get_by_role("table").first).to_be_visible()
    look(name)


@pytest.mark.parametrize(
    "description", in_brief(["Grapes", "Prices", "Fails", "Cancelled", "Runs", "Waits"], "Grapes", "Fails")
)
def test_a_job(page: Page, ann: Person, look: Callable, description: str) -> None:
    job = Job.objects.get(owner=ann.user, kind="training", description__startswith=description)
    ann.opens_job(page, job)
    if description in ("Grapes", "Cancelled", "Runs"):
        expect(page.get_by_role("img", name=re.compile("^Line chart"))).to_be_visible()
    expect(page.locator("[data-connection]")).to_have_text("live" if description in ("Runs", "Waits") else "ended")
    look(f"job {description}")


@pytest.mark.full
def test_a_prediction(page: Page, ann: Person, look: Callable) -> None:
    ann.opens_job(page, Job.objects.get(owner=ann.user, kind="inference"))
    expect(page.get_by_role("region", name="Table of predictions")).to_be_visible()
    look("job prediction")


def test_the_question_before_cancelling(page: Page, ann: Person, look: Callable) -> None:
    ann.opens_job(page, Job.objects.get(owner=ann.user, description="Runs"))
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog", name="Cancel this job?")).to_be_visible()
    look("job question")


@pytest.mark.parametrize("name", in_brief(["Grapes", "Prices"], "Grapes"))
def test_a_model_with_an_answer_and_all_that_opens(page: Page, ann: Person, look: Callable, name: str) -> None:
    model = TrainedModel.objects.get(owner=ann.user, name=name)
    ann.opens(page, f"/ui/models/{model.public_id}/")
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#try-result strong")).to_be_visible(timeout=15_000)
    for summary in page.locator("main summary").all():
        summary.click()
    look(f"model {name}")


def test_the_form_with_data_and_all_that_opens(
    page: Page, ann: Person, look: Callable, page_errors: PageErrors
) -> None:
    page_errors.allow("422")
    dataset = TrainedModel.objects.get(owner=ann.user, name="Grapes").dataset
    ann.opens(page, f"/ui/jobs/new/?dataset={dataset.public_id}")
    page.get_by_label("Trees").fill("none")
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_label("Trees")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Random seed")).to_be_visible()
    look("form refused")
