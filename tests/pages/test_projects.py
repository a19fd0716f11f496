"""A project's pages as people use them: filter with completion, columns, groups, views, acts on runs, members."""

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.conftest import in_brief, wait_until
from tests.pages.conftest import PageErrors
from tests.pages.site import Person, Site
from tests.services.test_run_table import make_run
from tracking.models import Project, Run
from tracking.services.members import member_add
from tracking.services.projects import project_create
from tracking.services.runs import run_status_set


@pytest.fixture
def project(person: Person) -> Project:
    made = project_create(owner=person.user, name="Grapes", description="Which grape a wine was made of.")
    for number in range(12):
        optimizer = {"name": "adam" if number % 2 else "sgd"}
        make_run(
            made,
            f"grape-{number}",
            config={"lr": 0.1 / (number + 1), "optimizer": optimizer, "model.name": "resnet"},
            tags=["baseline"] if number < 3 else [],
            status="running" if number == 11 else "completed",
            metrics={"val_loss": number / 10, "val acc": 1 - number / 20},
        )
    return made


@pytest.fixture
def table(page: Page, person: Person, project: Project) -> Page:
    return person.opens(page, f"/ui/projects/{project.pk}/")


def filter_box(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Filter", exact=True)


def rows(page: Page) -> Locator:
    return page.locator(".run-table tbody tr")


def address(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def test_a_project_is_made_and_offers_the_first_run(page: Page, person: Person) -> None:
    person.opens(page, "/ui/projects/")
    page.get_by_role("link", name="New project").first.click()
    page.get_by_label("Name").fill("Wine")
    page.get_by_role("button", name="Make the project").click()
    expect(page.get_by_role("heading", name="Wine")).to_be_visible()
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
    expect(page.locator("main pre").first).to_contain_text("AIManager(project_name='Wine'")


def test_typing_on_before_an_answer_came_still_brings_the_newest_answer(table: Page) -> None:
    asked: list[Route] = []

    def held_at_first(route: Route) -> None:
        asked.append(route)
        if len(asked) > 1:
            route.continue_()

    question = re.compile(r"[?&]text=")
    table.route(question, held_at_first)
    box = filter_box(table)
    with table.expect_request(question):
        box.press_sequentially("val")
    box.press_sequentially("_l")
    expect(table.get_by_role("option").first).to_contain_text("metrics.val_loss")


def test_a_filter_is_completed_by_the_keyboard_and_kept_in_the_address(table: Page) -> None:
    box = filter_box(table)
    box.press_sequentially("val_l")
    expect(table.get_by_role("option").first).to_contain_text("metrics.val_loss")
    box.press("ArrowDown")
    box.press("Enter")
    expect(box).to_have_value("metrics.val_loss ")
    expect(table.get_by_role("option", name="<=")).to_be_visible()
    box.press_sequentially("< 0.25 and tags has ")
    expect(table.get_by_role("option", name='"baseline"')).to_be_visible()
    box.press("ArrowDown")
    box.press("Tab")
    narrowed = 'metrics.val_loss < 0.25 and tags has "baseline" '
    expect(box).to_have_value(narrowed)
    box.press("Escape")
    expect(table.get_by_role("listbox")).to_be_hidden()
    box.press("Enter")
    expect(rows(table)).to_have_count(3)
    wait_until(lambda: address(table).get("filter") == [narrowed], what="the filter in the address")
    table.reload()
    expect(rows(table)).to_have_count(3)
    expect(filter_box(table)).to_have_value(narrowed)


def test_a_mistake_is_marked_and_the_caret_stands_there(table: Page) -> None:
    filter_box(table).fill("status = running and metrcs.val_loss < 1")
    filter_box(table).press("Enter")
    expect(table.get_by_role("alert")).to_contain_text("Character 22: There is no field “metrcs.val_loss”")
    expect(table.locator("mark")).to_have_text("metrcs.val_loss")
    expect(filter_box(table)).to_be_focused()
    assert filter_box(table).evaluate("input => input.selectionStart") == 21
    expect(rows(table)).to_have_count(0)


def test_columns_are_found_chosen_and_sorted_by(table: Page) -> None:
    table.locator("summary", has_text="Columns").click()
    table.get_by_label("Find a column").fill("lr")
    expect(table.get_by_role("checkbox", name="optimizer.name")).to_be_hidden()
    table.get_by_role("checkbox", name="lr", exact=True).check()
    table.get_by_label("Find a column").fill("")
    table.get_by_role("group", name="val_loss").get_by_role("checkbox", name="min").check()
    table.get_by_role("button", name="Show these columns").click()
    expect(table.get_by_role("columnheader", name="val_loss (min)")).to_be_visible()
    table.get_by_role("link", name="lr", exact=True).click()
    expect(rows(table).first).to_contain_text("grape-11")
    expect(table.get_by_role("columnheader", name="lr", exact=True)).to_have_attribute("aria-sort", "ascending")
    table.get_by_role("link", name="lr", exact=True).click()
    expect(rows(table).first).to_contain_text("grape-0")
    wait_until(lambda: address(table).get("sort") == ["-config.lr"], what="the order in the address")
    assert "metrics.val_loss.min" in address(table)["column"]


def test_chosen_runs_are_thrown_away_and_come_back(table: Page) -> None:
    expect(table.get_by_role("button", name="Archive")).to_be_disabled()
    table.get_by_role("checkbox", name=re.compile("grape-11 ")).check()
    table.get_by_role("checkbox", name=re.compile("grape-10 ")).check()
    expect(table.get_by_text("2 chosen")).to_be_visible()
    table.get_by_role("button", name="Trash").click()
    expect(table.get_by_text("2 runs are in the trash.")).to_be_visible()
    expect(rows(table)).to_have_count(10)
    table.get_by_role("button", name="Undo").click()
    expect(rows(table)).to_have_count(12)
    table.get_by_role("checkbox", name="Choose all runs of this page").check()
    expect(table.get_by_text("12 chosen")).to_be_visible()
    table.get_by_placeholder("tag").fill("seen")
    table.get_by_placeholder("tag").press("Enter")
    expect(table.get_by_text("12 runs are tagged.")).to_be_visible()
    expect(rows(table).locator(".tag", has_text="seen")).to_have_count(12)


def test_the_table_is_live_and_the_choice_stays(table: Page, project: Project) -> None:
    run = Run.objects.get(project=project, name="grape-11")
    row = rows(table).filter(has_text="grape-11")
    expect(row).to_contain_text("Running")
    box = table.get_by_role("checkbox", name=re.compile("grape-11 "))
    box.check()
    run_status_set(run_id=run.pk, status="failed")
    make_run(project, "the newest")
    expect(row).to_contain_text("Failed")  # the table asks every 5 s
    expect(rows(table).first).to_contain_text("the newest")
    expect(box).to_be_checked()
    expect(table.get_by_text("1 chosen")).to_be_visible()


def test_a_view_is_saved_opened_and_shown_as_such(table: Page, person: Person, project: Project) -> None:
    filter_box(table).fill("tags has baseline")
    filter_box(table).press("Enter")
    expect(rows(table)).to_have_count(3)
    table.locator("summary", has_text="Views").click()
    table.get_by_label("Save this view as").fill("Baselines")
    table.get_by_role("button", name="Save").click()
    expect(table.get_by_text("The view “Baselines” is saved.")).to_be_visible()
    person.opens(table, f"/ui/projects/{project.pk}/")
    expect(rows(table)).to_have_count(12)
    table.locator("summary", has_text="Views").click()
    table.get_by_role("link", name="Baselines").click()
    expect(rows(table)).to_have_count(3)
    expect(table.locator("summary", has_text="Baselines")).to_be_visible()


def test_runs_are_grouped_and_a_group_leads_to_its_runs(table: Page) -> None:
    table.get_by_label("Group by").select_option("config.optimizer.name")
    table.get_by_role("button", name="Apply").click()
    groups = table.get_by_role("region", name="Groups of runs")
    expect(groups.get_by_role("row", name=re.compile("^adam 6 .*0.6 ± 0.37"))).to_be_visible()
    groups.get_by_role("link", name="adam").click()
    expect(rows(table)).to_have_count(6)
    expect(filter_box(table)).to_have_value('config.optimizer.name = "adam"')


def test_the_table_is_downloaded_as_it_is_shown(table: Page) -> None:
    filter_box(table).fill("tags has baseline")
    filter_box(table).press("Enter")
    expect(rows(table)).to_have_count(3)
    with table.expect_download() as download:
        table.get_by_text("Download", exact=True).click()
        table.get_by_role("link", name="This table").click()
    lines = download.value.path().read_text().splitlines()
    assert len(lines) == 4
    assert lines[0] == 'id,name,status,started_at,duration,tags,"metrics.""val acc"".last",metrics.val_loss.last'


def test_a_member_is_added_and_a_project_deleted_by_its_name(
    page: Page, page_errors: PageErrors, person: Person, project: Project, site: Site
) -> None:
    page_errors.allow("422")
    bob = site.new_person()
    person.opens(page, f"/ui/projects/{project.pk}/settings/")
    page.get_by_label("User name or e-mail").fill("nobody-here")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_text("There is no user 'nobody-here'.")).to_be_visible()
    page.get_by_label("User name or e-mail").fill(bob.user.username)
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("row", name=re.compile(bob.user.username))).to_be_visible()
    page.get_by_label(re.compile("^Type Grapes")).fill("Grapes")
    page.get_by_role("button", name="Delete the project").click()
    expect(page.get_by_role("heading", name="Projects in the trash")).to_be_visible()
    page.get_by_role("button", name="Restore Grapes").click()
    expect(rows(page)).to_have_count(12)


def suggests(page: Page) -> None:
    filter_box(page).press_sequentially("config.")
    expect(page.get_by_role("option").first).to_be_visible()


# A page's address, and what is opened on it.
LOOKS: dict[str, tuple[str, Callable[[Page], None]]] = {
    "projects": ("/ui/projects/", lambda page: None),
    "new project": ("/ui/projects/new/", lambda page: None),
    "runs and their columns": ("{base}", lambda page: page.locator("summary", has_text="Columns").click()),
    "runs and suggestions": (
        "{base}?column=tags&column=config.optimizer&column=metrics.val_loss.best",
        suggests,
    ),
    "filter with a mistake": ("{base}?filter=metrics.los+%3C+1+and+(", lambda page: None),
    "groups and views": ("{base}?group=config.lr", lambda page: page.locator("summary", has_text="Views").click()),
    "trash of runs": ("{base}?trash=1", lambda page: None),
    "settings": ("{base}settings/", lambda page: None),
}


@pytest.mark.parametrize("name", in_brief(LOOKS, "runs and their columns", "runs and suggestions", "settings"))
def test_a_page_looks_well(
    page: Page, person: Person, project: Project, site: Site, look: Callable[[str], None], name: str
) -> None:
    member_add(user=person.user, project_id=project.pk, username=site.new_person().user.username, role="viewer")
    Run.objects.filter(project=project, name="grape-1").update(name="a run with a long name, " * 8)
    path, prepare = LOOKS[name]
    person.opens(page, path.format(base=f"/ui/projects/{project.pk}/"))
    prepare(page)
    look(name)


def test_what_was_thrown_away_is_in_the_trash(table: Page, project: Project) -> None:
    table.get_by_role("checkbox", name=re.compile("grape-5 ")).check()
    table.get_by_role("button", name="Trash").click()
    expect(table.get_by_text("1 run is in the trash.")).to_be_visible()
    table.get_by_role("link", name="Trash").click()
    expect(rows(table)).to_have_count(1)
    table.get_by_role("checkbox", name=re.compile("grape-5 ")).check()
    table.get_by_role("button", name="Restore").click()
    expect(table.get_by_role("heading", name="The trash is empty")).to_be_visible()
    wait_until(lambda: Run.objects.live().filter(project=project).count() == 12, what="the run's return")
