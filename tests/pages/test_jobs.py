"""A job's page in a browser, while a real worker does the work: what changes is seen without a reload."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from jobs.models import Job
from jobs.selectors.jobs import log_lines as log_lines_of
from jobs.services.control import job_cancel
from tests.conftest import wait_until
from tests.pages.conftest import NewPage, PageErrors
from tests.pages.site import Person, Site

LONG = {"seconds": 60, "steps": 300}


def status(page: Page) -> Locator:
    return page.locator("main [data-live-status]")


def log_lines(page: Page) -> Locator:
    return page.locator(".log-line")


def shows(page: Page, word: str) -> None:
    expect(status(page)).to_have_text(word)


def points(page: Page, title: str) -> int:
    """How many points the chart says that it has drawn."""
    label = page.get_by_role("img", name=f"Line chart of {title}").get_attribute("aria-label")
    return int(re.search(r": (\d+) points", label).group(1))


def steps_in_log(page: Page) -> list[int]:
    return [int(text.split()[1]) for text in page.locator(".log-message").all_inner_texts() if text.startswith("step ")]


def logged_steps(job: Job) -> list[int]:
    """The same, of what the platform keeps."""
    return [int(line.message.split()[1]) for line in log_lines_of(job) if line.message.startswith("step ")]


def test_log_chart_and_progress_grow_while_the_job_runs(page: Page, person: Person) -> None:
    person.opens_job(page, person.sleeper(description="A long one", **LONG))
    shows(page, "Running")
    expect(page.locator("[data-connection]")).to_have_text("live")
    expect(log_lines(page).nth(4)).to_be_visible()
    lines, drawn = log_lines(page).count(), points(page, "step")
    share = float(page.locator("[data-live-progress] progress").get_attribute("value"))
    expect(log_lines(page).nth(lines + 5)).to_be_attached()
    wait_until(lambda: points(page, "step") > drawn + 5, what="new points in the chart")
    expect(page.locator(".progress-note")).to_contain_text(re.compile(r"step \d+ of 300 · about .* left"))
    wait_until(
        lambda: float(page.locator("[data-live-progress] progress").get_attribute("value")) > share, what="progress"
    )
    expect(page).to_have_title(re.compile(r"^\d+% · A long one"))


def test_a_running_job_is_cancelled_from_its_page(page: Page, person: Person) -> None:
    job = person.sleeper(**LONG)
    person.opens_job(page, job)
    shows(page, "Running")
    page.get_by_role("button", name="Cancel").click()
    dialog = page.get_by_role("dialog", name="Cancel this job?")
    dialog.get_by_role("button", name="Keep").click()
    expect(dialog).to_be_hidden()
    shows(page, "Running")
    page.get_by_role("button", name="Cancel").click()
    dialog.get_by_role("button", name="Cancel the job").click()
    expect(page.get_by_text("The job was cancelled. Its processes end within a few seconds.")).to_be_visible()
    shows(page, "Cancelled")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    expect(page.locator("[data-connection]")).to_have_text("ended")
    job.refresh_from_db()
    assert job.status == "cancelled"


def test_a_waiting_job_says_what_for_and_begins_before_the_readers_eyes(
    new_page: NewPage, person: Person, page: Page
) -> None:
    first = person.sleeper(**LONG)
    person.waits_for(first, "running")
    second = person.sleeper(description="The second", **LONG)
    person.opens_job(page, second)
    shows(page, "Pending")
    expect(page.locator(".progress-note")).not_to_be_empty()
    expect(page.locator("#job-facts")).not_to_contain_text("Took")
    page.get_by_role("button", name="Cancel").click()  # the question stays, whatever happens behind it
    other = person.opens_job(new_page(), first)
    other.get_by_role("button", name="Cancel").click()
    other.get_by_role("button", name="Cancel the job").click()
    shows(page, "Running")
    expect(page.locator("#job-facts")).to_contain_text("Took")
    expect(page.get_by_role("dialog")).to_be_visible()


def test_a_completed_job_shows_its_result_without_a_reload_and_runs_again(page: Page, person: Person) -> None:
    first = person.sleeper(description="Twice", seconds=1, steps=5)
    person.opens_job(page, first)
    shows(page, "Completed")
    expect(page.get_by_role("heading", name="Result")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    expect(page.locator(".progress-value")).to_have_text("100%")
    expect(page.locator("[data-connection]")).to_have_text("ended")
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_text("The same order was submitted again as a new job.")).to_be_visible()
    expect(page).not_to_have_url(re.compile(str(first.pk)))
    expect(page.get_by_role("heading", name="Twice")).to_be_visible()
    shows(page, "Completed")
    assert Job.objects.filter(owner=person.user, status="completed", retry_of=first).count() == 1


def test_a_failed_job_says_why(page: Page, person: Person) -> None:
    person.opens_job(page, person.sleeper(seconds=1, steps=5, crash="error", crash_at_step=3))
    shows(page, "Failed")
    alert = page.get_by_role("alert").filter(has_text="The job failed")
    expect(alert).to_contain_text("The sleeper was told to fail.")
    expect(log_lines(page).filter(has_text="told to fail")).to_have_attribute("data-level", "ERROR")


def test_an_unforeseen_failure_names_the_reference_that_the_operator_finds(page: Page, person: Person) -> None:
    job = person.sleeper(seconds=0, steps=1, crash="raise")
    person.opens_job(page, job)
    shows(page, "Failed")
    job.refresh_from_db()
    expect(page.get_by_role("alert").filter(has_text="The job failed")).to_contain_text(job.error_details["error_id"])


def test_a_job_that_ends_at_once_is_shown_as_ended(page: Page, person: Person) -> None:
    person.opens_job(page, person.sleeper(seconds=0, steps=1))
    shows(page, "Completed")
    expect(page.get_by_role("heading", name="Result")).to_be_visible()
    expect(page.get_by_text(re.compile(r"\d+ metrics? with one value"))).to_be_visible()


def test_a_page_that_lost_its_server_misses_nothing_and_repeats_nothing(
    page: Page, person: Person, site: Site, page_errors: PageErrors
) -> None:
    page_errors.allow(r"WebSocket connection .* failed")
    job = person.sleeper(seconds=600, steps=3000)
    person.opens_job(page, job)
    expect(log_lines(page).nth(4)).to_be_visible()
    site.kill_web()
    try:
        expect(page.locator("[data-connection]")).to_have_text(re.compile(r"^reconnecting, \d+ s behind$"))
        seen = len(steps_in_log(page))
        wait_until(lambda: len(logged_steps(job)) > seen + 20, what="lines that the page cannot get")
        person.leaves()
        person.waits_for(job, "cancelled")
        wait_until(lambda: not job.attempts.filter(status="running").exists(), what="the end of the job's process")
        assert len(steps_in_log(page)) < len(logged_steps(job))
    finally:
        site.start_web()  # others need it
    expect(page.locator("[data-connection]")).to_have_text("ended")
    shows(page, "Cancelled")
    last = len(logged_steps(job))
    wait_until(lambda: len(steps_in_log(page)) >= last, what="the log's last line")
    assert steps_in_log(page) == logged_steps(job) == list(range(1, last + 1))
    wait_until(lambda: points(page, "step") >= last, what="the chart's last point")
    assert points(page, "step") - last in (0, 1)  # a step's point is told before its line


def test_the_network_goes_and_comes(page: Page, person: Person, page_errors: PageErrors) -> None:
    page_errors.allow("ERR_INTERNET_DISCONNECTED")
    # The answer to its closing may never come: the old connection stays, and speaks on.
    page.add_init_script("WebSocket.prototype.close = () => {}")
    person.opens_job(page, person.sleeper(**LONG))
    expect(page.locator("[data-connection]")).to_have_text("live")
    page.context.set_offline(True)
    expect(page.locator("[data-connection]")).to_have_attribute("data-state", "reconnecting")
    page.context.set_offline(False)
    expect(page.locator("[data-connection]")).to_have_text("live")
    seen = log_lines(page).count()
    expect(log_lines(page).nth(seen + 3)).to_be_attached()
    steps = steps_in_log(page)
    assert steps == list(range(1, len(steps) + 1))


def test_a_page_of_somebody_who_signed_out_says_so(page: Page, person: Person) -> None:
    person.opens_job(page, person.sleeper(**LONG))
    expect(page.locator("[data-connection]")).to_have_text("live")
    other = page.context.new_page()
    other.goto(page.url)
    other.locator("summary", has_text=person.user.username).click()
    other.get_by_role("button", name="Sign out").click()
    page.context.set_offline(True)
    page.context.set_offline(False)
    expect(page.locator("[data-connection]")).to_have_text("signed out: reload the page and sign in")


def test_the_log_is_searched_and_followed(page: Page, person: Person) -> None:
    person.opens_job(page, person.sleeper(seconds=60, steps=1500))
    expect(log_lines(page).nth(30)).to_be_attached()
    follow = page.get_by_role("button", name="Follow")
    expect(follow).to_have_attribute("aria-pressed", "true")
    page.locator(".log").hover()
    page.mouse.wheel(0, -2000)
    expect(follow).to_have_attribute("aria-pressed", "false")
    follow.click()
    expect(follow).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Find in the log").fill("step 7 of")
    expect(page.locator(".log-line:visible")).to_have_count(1)
    expect(page.locator("[data-log-count]")).to_have_text(re.compile(r"^1 of \d+ lines$"))
    page.get_by_label("Least level").select_option("ERROR")
    expect(page.locator(".log-line:visible")).to_have_count(0)


def test_the_list_shows_progress_and_ends_by_itself(page: Page, person: Person) -> None:
    job = person.sleeper(description="Seen from the list", **LONG)
    person.opens(page, "/ui/jobs/")
    row = page.get_by_role("row", name=re.compile("Seen from the list"))
    expect(row).to_contain_text(re.compile(r"step \d+ of 300"))
    job_cancel(user=person.user, job=job)
    expect(row).to_contain_text("Cancelled")
    page.get_by_label("Status").select_option("failed")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("heading", name="No job matches these filters")).to_be_visible()


def test_the_dashboard_counts_by_itself(page: Page, person: Person) -> None:
    person.opens(page)
    expect(page.get_by_role("link", name="Running 0")).to_be_visible()
    person.sleeper(description="Seen from the dashboard", **LONG)
    expect(page.get_by_role("link", name="Running 1")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("Seen from the dashboard"))).to_contain_text("Running")


def test_without_script_the_job_is_shown_and_cancelled(new_page: NewPage, person: Person) -> None:
    job = person.sleeper(**LONG)
    person.waits_for(job, "running")
    wait_until(lambda: job.run.log_lines.exists(), what="a line of the log")
    page = person.opens_job(new_page(java_script_enabled=False), job)
    shows(page, "Running")
    expect(log_lines(page).first).to_be_visible()
    page.get_by_role("button", name="Cancel the job").click()
    shows(page, "Cancelled")


@pytest.mark.parametrize("path", ["", "log.txt"])
def test_somebody_elses_job_is_not_there(
    page: Page, person: Person, site: Site, page_errors: PageErrors, path: str
) -> None:
    page_errors.allow("404")
    job = person.sleeper(seconds=0, steps=1)
    other = site.new_person()
    other.opens(page, f"/ui/jobs/{job.pk}/{path}")
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
