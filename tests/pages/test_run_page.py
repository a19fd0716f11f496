"""A run's page and the comparison of runs, in a browser: charts that grow, that are zoomed, found again by address."""

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction
from playwright.sync_api import Locator, Page, expect

from tests.conftest import wait_until
from tests.pages.site import Person, Site
from tracking import stream
from tracking.models import Project, Run
from tracking.services.accounts import api_key_create
from tracking.services.projects import project_create
from tracking.services.runs import run_create, run_status_set
from tracking.stream import LogEntry, Point

REST_OF_RUN = ("log", "config", "metrics")
REST_OF_COMPARE = ("differences", "scatter", "importance")
LONG = 12_000  # points: more than a chart is sent at first


def make_run(project: Project, number: int = 0, **facts: Any) -> Run:
    config = {"lr": 0.1 / (number + 1), "optimizer": {"name": "adam" if number % 2 else "sgd", "betas": [0.9, 0.999]}}
    return run_create(**{"project": project, "name": f"run {number}", "config": config, "tags": ["sweep"], **facts})


def log(run: Run, points: list[Point], logs: list[LogEntry] | None = None) -> None:
    with transaction.atomic():
        stream.append(run_id=run.pk, points=points, logs=logs or [])


def log_losses(run: Run, number: int = 0, steps: int = 50) -> None:
    points = [Point("train_loss", (number + 1) / (step + 1), step=step) for step in range(steps)]
    points += [Point("val/accuracy", 1 - 1 / (step + 2 + number), step=step) for step in range(steps)]
    points += [Point("final", float(number))]
    log(run, points, [LogEntry("INFO", "began"), LogEntry("WARN", "slow disk")])


@pytest.fixture(scope="module")
def ann(site: Site) -> Iterator[Person]:
    ann = site.new_person()
    yield ann
    ann.leaves()


@pytest.fixture(scope="module")
def project(ann: Person) -> Project:
    return project_create(owner=ann.user, name="Losses", description="", is_public=False)


@pytest.fixture(scope="module")
def runs(project: Project) -> list[Run]:
    made = [make_run(project, number) for number in range(10)]
    for number, run in enumerate(made):
        log_losses(run, number)
        run_status_set(run_id=run.pk, status="completed")
    return made


def address_of(runs: list[Run]) -> str:
    return f"/ui/compare/?runs={','.join(str(run.pk) for run in runs)}"


def chart(page: Page, title: str) -> Locator:
    return page.get_by_role("region", name=title, exact=True)


def drawn_points(page: Page, title: str) -> int:
    label = page.get_by_role("img", name=f"Line chart of {title}").get_attribute("aria-label")
    return int(re.search(r": ([\d,]+) points", label).group(1))


def log_by_api(site: Site, person: Person, run: Run, points: list[dict[str, Any]]) -> None:
    key = api_key_create(owner=person.user, name="browser test")[1]
    request = urllib.request.Request(
        f"{site.url}/metrics/{run.pk}/batch",
        data=json.dumps({"points": points}).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 201


def test_a_chart_grows_while_points_are_logged_and_the_state_follows(
    page: Page, site: Site, ann: Person, project: Project
) -> None:
    run = make_run(project, name="live one")
    ann.opens(page, f"/ui/runs/{run.pk}/")
    expect(page.get_by_role("heading", name="No metrics yet")).to_be_visible()
    expect(page.locator("[data-connection]")).to_have_text("live")
    log_by_api(site, ann, run, [{"name": "loss", "value": 1 / (step + 1), "step": step} for step in range(10)])
    expect(page.get_by_role("img", name="Line chart of loss. loss: 10 points")).to_be_visible()
    log_by_api(site, ann, run, [{"name": "loss", "value": "NaN", "step": 10}, {"name": "acc", "value": 1, "step": 0}])
    expect(page.get_by_role("img", name="loss: 11 points, 1 of them not a number")).to_be_visible()
    expect(page.locator("[data-chart-values]")).to_contain_text("acc")
    run_status_set(run_id=run.pk, status="failed", reason="CUDA out of memory")
    expect(page.get_by_role("alert")).to_contain_text("CUDA out of memory")
    expect(page.locator("[data-live-status]")).to_have_text("Failed")


def test_a_zoom_fetches_the_detail_and_the_address_restores_it(page: Page, ann: Person, project: Project) -> None:
    run = make_run(project, name="long one")
    log(run, [Point("loss", (step * 37 % 101) / 101, step=step) for step in range(LONG)])
    ann.opens(page, f"/ui/runs/{run.pk}/")
    expect(page.get_by_role("img", name="Line chart of loss")).to_be_visible()
    before = drawn_points(page, "loss")
    assert before <= 2000
    box = chart(page, "loss").locator(".u-over").bounding_box()
    middle = box["y"] + box["height"] / 2
    with page.expect_response(re.compile(r"points\.json.*min_step=\d+")):
        page.mouse.move(box["x"] + box["width"] * 0.4, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.5, middle, steps=4)
        page.mouse.up()
    wait_until(lambda: drawn_points(page, "loss") > before + 900, what="the points of the zoomed range")
    page.get_by_label("Smooth").fill("0.5")
    page.get_by_label("Log y").check()
    page.get_by_label("Find charts").fill("lo*")
    expect(page).to_have_url(re.compile(r"zoom=\d+.*smooth=0\.5.*ylog=1.*chart=lo"))
    page.reload()
    expect(page.get_by_label("Smooth")).to_have_value("0.5")
    expect(page.get_by_label("Log y")).to_be_checked()
    expect(page.get_by_label("Find charts")).to_have_value("lo*")
    wait_until(lambda: drawn_points(page, "loss") > before + 900, what="the detail after a reload")
    chart(page, "loss").locator(".u-over").dblclick()
    expect(page.get_by_role("button", name="Reset zoom", exact=True)).to_be_hidden()
    expect(page).not_to_have_url(re.compile("zoom="))


def test_of_many_charts_only_those_in_sight_are_fetched_and_drawn(page: Page, ann: Person, project: Project) -> None:
    run = make_run(project, name="wide one")
    log(run, [Point(f"m/{n:03}", float(n * s), step=s) for s in (1, 2) for n in range(400)])
    ann.opens(page, f"/ui/runs/{run.pk}/")
    expect(page.locator("[data-wall-count]")).to_have_text("400 charts")
    expect(page.get_by_role("img", name="Line chart of m/000")).to_be_visible()
    assert 0 < page.locator(".uplot").count() < 60
    page.get_by_label("Find charts").fill("m/*99")
    expect(page.locator("[data-wall-count]")).to_have_text("4 of 400 charts")
    expect(page.get_by_role("img", name="Line chart of m/399")).to_be_visible()
    wait_until(lambda: page.locator(".uplot").count() == 4, what="charts out of sight to go")


def test_name_tags_and_notes_are_changed_in_place_and_the_trash_gives_back(
    page: Page, ann: Person, project: Project
) -> None:
    run = make_run(project, name="first name")
    ann.opens(page, f"/ui/runs/{run.pk}/?tab=config")
    page.get_by_label("Rename the run").click()
    page.get_by_label("Name of the run").fill("second name")
    page.get_by_label("Name of the run").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("second name")
    page.get_by_text("Edit tags").click()
    page.get_by_label("Tags, parted by commas").fill("a, b c")
    page.get_by_label("Tags, parted by commas").press("Enter")
    expect(page.locator("main .tag")).to_have_text(["a", "b c"])
    page.get_by_text("Add notes").click()
    page.get_by_label("Notes").fill("It **went** well.")
    page.get_by_role("button", name="Save").last.click()
    expect(page.get_by_text("It **went** well.").first).to_be_visible()
    expect(page).to_have_url(re.compile("tab=config"))
    page.get_by_label("Find in the config").fill("beta")
    expect(page.locator("[data-tree-count]")).to_have_text("1 of 3")
    page.get_by_role("button", name="Trash").click()
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("second name")


def test_three_runs_share_charts_and_are_hidden_by_name(page: Page, ann: Person, runs: list[Run]) -> None:
    ann.opens(page, address_of(runs[:3]))
    label = page.get_by_role("img", name="Line chart of train_loss")
    expect(label).to_have_attribute("aria-label", re.compile("run 0: 50 points.*run 1: 50 points.*run 2: 50 points"))
    page.get_by_role("checkbox", name=re.compile("Draw run 1")).uncheck()
    expect(page).to_have_url(re.compile(rf"hide={runs[1].pk}"))
    expect(chart(page, "train_loss").get_by_role("button", name="run 1")).to_have_attribute("aria-pressed", "false")
    page.get_by_role("link", name="Differences").click()
    table = page.get_by_role("region", name="Values of the runs")
    expect(table.get_by_role("row", name=re.compile("config lr"))).to_contain_text("0.05")
    expect(table.get_by_role("row", name=re.compile("optimizer.betas"))).to_have_count(0)


def test_parallel_coordinates_are_narrowed_by_keyboard_and_the_address_keeps_it(
    page: Page, ann: Person, runs: list[Run]
) -> None:
    ann.opens(page, f"{address_of(runs)}&tab=parallel")
    expect(page.locator(".plot-line")).to_have_count(len(runs))
    page.get_by_text("Narrow by keyboard").click()
    page.get_by_label("From of final").press("End")
    expect(page.locator(".plot-line.is-out")).to_have_count(len(runs) - 1)
    expect(page.locator("[data-plot-count]")).to_have_text("1 of 10 runs: run 9")
    page.reload()
    expect(page.locator("[data-plot-count]")).to_have_text("1 of 10 runs: run 9")
    page.locator(".plot-hit").last.dblclick()
    page.get_by_text("Axes", exact=True).click()
    page.get_by_role("checkbox", name="optimizer.name").uncheck()
    expect(page).to_have_url(re.compile("axis="))
    expect(page.get_by_role("img", name="Parallel coordinates of 10 runs over 5 values")).to_be_visible()


def test_a_dot_of_the_scatter_plot_leads_to_its_run(page: Page, ann: Person, runs: list[Run]) -> None:
    ann.opens(page, f"{address_of(runs)}&tab=scatter&across=config.optimizer.name&up=metrics.final.last")
    expect(page.get_by_role("group", name="final over optimizer.name")).to_be_visible()
    page.get_by_role("link", name="run 4: sgd, 4").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("run 4")


@pytest.mark.parametrize("tab", ["charts", *(pytest.param(tab, marks=pytest.mark.full) for tab in REST_OF_RUN)])
def test_a_run_looks_right_on_each_tab(
    page: Page, ann: Person, runs: list[Run], look: Callable[[str], None], tab: str
) -> None:
    ann.opens(page, f"/ui/runs/{runs[1].pk}/?tab={tab}")
    expect(page.locator("[data-connection]")).to_have_text("live")
    if tab == "charts":
        expect(page.get_by_role("img", name="Line chart of val/accuracy")).to_be_visible()
    look(f"run {tab}")


@pytest.mark.parametrize(
    "tab", ["charts", "parallel", *(pytest.param(tab, marks=pytest.mark.full) for tab in REST_OF_COMPARE)]
)
def test_a_comparison_looks_right_on_each_tab(
    page: Page, ann: Person, runs: list[Run], look: Callable[[str], None], tab: str
) -> None:
    ann.opens(page, f"{address_of(runs)}&tab={tab}")
    if tab == "charts":
        expect(page.get_by_role("img", name="Line chart of val/accuracy")).to_be_visible()
    look(f"compare {tab}")
