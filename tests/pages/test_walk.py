"""What somebody new does on the first day, by the pages alone: an account, data, a model, an answer."""

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.pages.conftest import NewPage
from tests.pages.site import PASSWORD, WINE, Person, Site


def test_from_an_account_to_an_answer(page: Page, site: Site, tmp_path: Path) -> None:
    page.goto(site.url)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_role("link", name="Make an account").click()
    page.get_by_label("User name").fill("newcomer")
    page.get_by_label("E-mail").fill("newcomer@example.com")
    page.get_by_label("Password", exact=False).first.fill(PASSWORD)
    page.get_by_label("Password again").fill(PASSWORD)
    page.get_by_role("button", name="Make the account").click()
    expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()

    page.locator("summary", has_text="newcomer").click()
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{site.url}/ui/jobs/new/")
    page.get_by_label("User name or e-mail").fill("newcomer")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Train a model")).to_be_visible()

    source = tmp_path / "wine.csv"
    source.write_text(WINE)
    page.get_by_label("Drop a file here, or choose one").set_input_files(source)
    expect(page.get_by_label("Target column").locator("option")).to_have_count(5)
    page.get_by_label("Target column").select_option("grape")
    page.get_by_label("Trees").fill("30")
    page.get_by_label("Description").fill("My first model")
    page.get_by_role("button", name="Start training").click()
    expect(page.locator("main [data-live-status]")).to_have_text("Completed")
    expect(page.locator(".log-message").filter(has_text="grew 30 trees")).to_be_visible()
    expect(page.get_by_role("img", name="Line chart of accuracy")).to_be_visible()

    page.get_by_role("link", name="look at it and try it").click()
    expect(page.get_by_role("heading", name="My first model")).to_be_visible()
    page.wait_for_load_state()  # before its scripts have come, the answer is a page of its own
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#try-result strong")).to_have_text(re.compile("merlot|riesling|syrah"))

    page.get_by_label("Search").fill("first")
    page.keyboard.press("Enter")
    results = page.get_by_role("main")
    expect(results.get_by_role("heading", name="Results for “first”")).to_be_visible()
    expect(results.get_by_role("link", name="My first model", exact=True)).to_have_count(2)  # the job and its model


def test_the_menu_of_a_phone_opens_leads_and_closes(new_page: NewPage, person: Person) -> None:
    page = person.opens(new_page(viewport="phone"))
    navigation = page.get_by_role("navigation", name="Main")
    expect(navigation).to_be_hidden()
    toggle = page.get_by_role("button", name="Menu")
    toggle.tap()
    expect(navigation).to_be_visible()
    page.keyboard.press("Escape")
    expect(navigation).to_be_hidden()
    expect(toggle).to_be_focused()
    toggle.tap()
    navigation.get_by_role("link", name="Models").tap()
    expect(page.get_by_role("heading", name="No models yet")).to_be_visible()
    expect(navigation).to_be_hidden()


def test_the_chosen_theme_stays(page: Page, person: Person) -> None:
    dark = "rgb(16, 20, 26)"
    person.opens(page)
    page.locator("summary", has_text=person.user.username).click()
    page.get_by_role("radio", name="Dark").check(force=True)
    expect(page.locator("body")).to_have_css("background-color", dark)
    person.opens(page, "/ui/models/")
    expect(page.locator("body")).to_have_css("background-color", dark)
