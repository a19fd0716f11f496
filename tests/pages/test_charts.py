"""The charts of a job's page: zoomed, smoothed, read as a table, saved."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from jobs.models import Job
from tests.conftest import wait_until
from tests.pages.site import Person, Site

STEPS = 120


@pytest.fixture(scope="module")
def ann(site: Site) -> Iterator[Person]:
    ann = site.new_person()
    ann.waits_for(ann.sleeper(description="Drawn", seconds=0, steps=STEPS), "completed")
    yield ann
    ann.leaves()


@pytest.fixture
def chart(page: Page, ann: Person) -> Locator:
    """The chart of a training whose value at each step is the step's number."""
    ann.opens_job(page, Job.objects.get(owner=ann.user))
    chart = page.get_by_role("region", name="step", exact=True)
    expect(chart.get_by_role("img", name=f"Line chart of step. step: {STEPS} points")).to_be_visible()
    return chart


def drawn_pixels(page: Page) -> str:
    # Waits for the canvas: a chart has none before its points have come.
    return page.locator(".chart-plot canvas").first.evaluate("(canvas) => canvas.toDataURL()")


def test_a_range_is_zoomed_into_kept_in_the_address_and_left_again(page: Page, chart: Locator) -> None:
    whole = drawn_pixels(page)
    box = chart.locator(".u-over").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.25, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, middle, steps=5)
    page.mouse.up()
    reset = chart.get_by_role("button", name="Reset zoom")
    expect(reset).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?zoom=\d+\.\d\d\.\.\d+\.\d\d$"))
    low, high = (float(edge) for edge in page.url.partition("zoom=")[2].split(".."))
    assert abs(low - STEPS * 0.25) < 3
    assert abs(high - STEPS * 0.5) < 3
    page.reload()
    expect(reset).to_be_visible()
    reset.click()
    expect(reset).to_be_hidden()
    expect(page).to_have_url(re.compile(r"/ui/jobs/[0-9a-f-]+/$"))
    page.mouse.move(0, 0)
    wait_until(lambda: drawn_pixels(page) == whole, what="the whole line again")


def test_smoothing_and_the_log_scale_draw_another_line(page: Page, chart: Locator) -> None:
    raw = drawn_pixels(page)
    chart.get_by_label("Smooth step").fill("0.9")
    expect(page).to_have_url(re.compile(r"\?smooth=0\.9$"))
    wait_until(lambda: drawn_pixels(page) != raw, what="the smoothed line")
    smooth = drawn_pixels(page)
    log = chart.get_by_role("button", name="Log: logarithmic scale, step")
    log.click()
    expect(log).to_have_attribute("aria-pressed", "true")
    wait_until(lambda: drawn_pixels(page) not in (raw, smooth), what="the line on the logarithmic scale")


def test_the_legend_tells_the_value_under_the_pointer_and_hides_a_line(page: Page, chart: Locator) -> None:
    legend = chart.get_by_role("listitem").first
    expect(legend).to_contain_text(f"step{STEPS}")
    box = chart.locator(".u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    expect(chart.locator(".chart-step")).to_have_text(re.compile(r"^step (5\d|6\d)$"))
    shown = drawn_pixels(page)
    legend.get_by_role("button").click()
    expect(legend.get_by_role("button")).to_have_attribute("aria-pressed", "false")
    wait_until(lambda: drawn_pixels(page) != shown, what="the chart without the line")


def test_the_points_are_read_as_a_table_and_saved_as_csv_and_picture(page: Page, chart: Locator) -> None:
    chart.get_by_text("Data as a table").click()
    table = chart.get_by_role("region", name="Points of step")
    expect(table.get_by_role("row")).to_have_count(STEPS + 1)
    with page.expect_download() as saved:
        chart.get_by_role("button", name="CSV").click()
    rows = list(csv.reader(Path(saved.value.path()).read_text().splitlines()))
    assert rows == [["step", "step"], *([str(step), str(step)] for step in range(1, STEPS + 1))]
    with page.expect_download() as saved:
        chart.get_by_role("button", name="PNG").click()
    assert saved.value.suggested_filename == "step.png"
    assert Path(saved.value.path()).read_bytes().startswith(b"\x89PNG")


def test_a_theme_that_changes_changes_the_lines(page: Page, chart: Locator) -> None:
    light = drawn_pixels(page)
    page.emulate_media(color_scheme="dark")
    wait_until(lambda: drawn_pixels(page) != light, what="a chart drawn in the dark")
