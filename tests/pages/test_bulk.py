"""The jobs' list in a browser: jobs are chosen while the list moves under the hand, and cancelled after a question."""

from playwright.sync_api import Page, expect

from jobs.models import Job
from tests.pages.site import Person


def test_chosen_jobs_stay_chosen_while_the_list_moves_and_are_cancelled_together(page: Page, person: Person) -> None:
    first = person.sleeper(description="First", seconds=60, steps=600)
    person.waits_for(first, "running")
    for name in ("Second", "Third"):
        person.sleeper(description=name, seconds=60, steps=600)
    person.opens(page, "/ui/jobs/")
    cancel = page.get_by_role("button", name="Cancel", exact=True)
    expect(cancel).to_be_disabled()
    page.get_by_label("Choose First").focus()
    page.keyboard.press("Space")
    page.get_by_label("Choose Third").check()
    expect(page.get_by_text("2 chosen")).to_be_visible()
    person.sleeper(description="Fourth", seconds=60, steps=600)
    expect(page.get_by_role("link", name="Fourth")).to_be_visible()  # the table has come anew
    expect(page.get_by_text("2 chosen")).to_be_visible()
    expect(page.get_by_label("Choose Third")).to_be_checked()
    cancel.click()
    question = page.get_by_role("dialog", name="Cancel 2 jobs?")
    expect(question).to_contain_text("1 job is running")
    expect(question.get_by_role("button", name="Keep")).to_be_focused()
    page.keyboard.press("Escape")
    expect(question).to_be_hidden()
    cancel.click()
    question.get_by_role("button", name="Cancel 2 jobs").click()
    expect(page.get_by_text("2 jobs are cancelled")).to_be_visible()
    left = Job.objects.filter(owner=person.user).exclude(status="cancelled")
    assert {job.description for job in left} == {"Second", "Fourth"}
