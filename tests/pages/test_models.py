"""A model's page in a browser: what it is worth, what it looks at, and what it answers."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from jobs.models import Job, TrainedModel
from tests.pages.conftest import PageErrors
from tests.pages.site import GRAPES, Person, Site


@pytest.fixture(scope="module")
def ann(site: Site) -> Iterator[Person]:
    """Somebody with a model that tells grapes apart and one that prices flats."""
    ann = site.new_person()
    ann.trains_two_models()
    yield ann
    ann.leaves()


def model_of(person: Person, name: str) -> TrainedModel:
    return TrainedModel.objects.get(owner=person.user, name=name)


def opens_model(person: Person, page: Page, name: str) -> Page:
    return person.opens(page, f"/ui/models/{model_of(person, name).public_id}/")


def test_a_classifier_shows_its_confusion_matrix_scores_and_importances(page: Page, ann: Person) -> None:
    opens_model(ann, page, "Grapes")
    matrix = page.get_by_role("table", name="Confusion matrix")
    for grape in GRAPES:
        expect(matrix.get_by_role("rowheader", name=grape)).to_be_visible()
        expect(page.get_by_role("region", name="Scores per class").get_by_role("row", name=grape)).to_be_visible()
    report = model_of(ann, "Grapes").report["confusion_matrix"]["matrix"]
    shown = [int(text.split("\n")[0]) for text in matrix.get_by_role("cell").all_inner_texts()]
    assert shown == [count for row in report for count in row]
    importances = page.get_by_role("list", name="Feature importances").get_by_role("listitem")
    expect(importances).to_have_count(3)
    expect(page.get_by_text("accuracy", exact=True)).to_be_visible()


def test_a_regression_shows_predictions_against_the_truth(page: Page, ann: Person) -> None:
    opens_model(ann, page, "Prices")
    plot = page.get_by_role("img", name="held-out rows, predicted against actual")
    dots = len(model_of(ann, "Prices").report["residuals"])
    assert dots > 10
    expect(plot.locator("circle")).to_have_count(dots)
    expect(page.get_by_text("r2", exact=True)).to_be_visible()


def test_a_row_is_answered_with_a_class_and_its_probabilities(page: Page, ann: Person) -> None:
    opens_model(ann, page, "Grapes")
    page.get_by_label("alcohol").fill("12.2")
    page.get_by_label("ash content").fill("2.6")  # a column's name with a space
    page.get_by_label("organic").fill("no")
    page.get_by_role("button", name="Predict").click()
    answer = page.locator("#try-result")
    expect(answer.get_by_role("heading", name="Prediction")).to_be_visible(timeout=15_000)
    expect(answer.locator("strong")).to_have_text("syrah")
    expect(answer.get_by_role("list", name="Probabilities").get_by_role("listitem")).to_have_count(3)
    job = Job.objects.filter(owner=ann.user, kind="inference").latest("created_at")
    assert job.input_data == [{"alcohol": "12.2", "ash content": "2.6", "organic": "no"}]
    answer.get_by_role("link").click()
    expect(page.get_by_role("heading", name="Inference with Grapes")).to_be_visible()
    expect(
        page.get_by_role("region", name="Table of predictions").get_by_role("rowheader", name="syrah")
    ).to_be_visible()


def test_pasted_rows_are_answered_one_by_one(page: Page, ann: Person) -> None:
    opens_model(ann, page, "Grapes")
    page.get_by_text("Paste rows instead").click()
    page.get_by_label("CSV rows").fill("alcohol,ash content,organic\n10.1,2.1,no\n11.2,2.3,yes\n12.3,2.6,no")
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#try-result strong")).to_have_text(list(GRAPES))


def test_what_cannot_be_predicted_is_said_in_words(page: Page, ann: Person, page_errors: PageErrors) -> None:
    page_errors.allow("422")
    opens_model(ann, page, "Grapes")
    page.get_by_label("alcohol").fill("strong")
    page.get_by_role("button", name="Predict").click()
    problem = page.locator("#try-result").get_by_role("alert")
    expect(problem).to_contain_text("The prediction failed")
    expect(problem).to_contain_text("alcohol")
    page.get_by_text("Paste rows instead").click()
    page.get_by_label("CSV rows").fill("ds_000000000000")
    page.get_by_role("button", name="Predict").click()
    expect(problem).to_contain_text("That cannot be predicted")


def test_a_number_is_answered_by_a_regression(page: Page, ann: Person) -> None:
    opens_model(ann, page, "Prices")
    expect(page.get_by_label("offer")).to_have_count(0)  # what the model ignores is not asked for
    page.get_by_label("rooms").fill("3")
    page.get_by_label("area").fill("50")
    page.get_by_role("button", name="Predict").click()
    answer = page.locator("#try-result strong")
    expect(answer).to_have_text(re.compile(r"^\d+(\.\d+)?$"))
    assert 140 < float(answer.inner_text()) < 200  # the truth is 3 * 50 + 2 * 11


def test_the_command_for_a_prediction_is_chosen_and_copied(page: Page, ann: Person) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opens_model(ann, page, "Grapes")
    page.get_by_text("The same by API").click()
    curl, python = page.get_by_role("tab", name="as curl"), page.get_by_role("tab", name="as Python")
    curl.focus()
    page.keyboard.press("ArrowRight")
    expect(python).to_be_focused()
    expect(python).to_have_attribute("aria-selected", "true")
    panel = page.get_by_role("tabpanel", name="as Python")
    expect(panel).to_contain_text(model_of(ann, "Grapes").public_id)
    panel.get_by_role("button").click()
    expect(panel.get_by_role("button", name="Copied")).to_be_visible()
    assert model_of(ann, "Grapes").public_id in page.evaluate("() => navigator.clipboard.readText()")


def test_a_model_is_described_in_a_file(page: Page, ann: Person, tmp_path: Path) -> None:
    opens_model(ann, page, "Grapes")
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON").click()
    model = model_of(ann, "Grapes")
    assert download.value.suggested_filename == f"{model.public_id}.json"
    assert model.public_id in Path(download.value.path()).read_text()


def test_a_model_goes_into_the_trash_and_comes_back(page: Page, ann: Person) -> None:
    opens_model(ann, page, "Prices")
    page.get_by_role("button", name="Trash").click()
    dialog = page.get_by_role("dialog", name="Put “Prices” into the trash?")
    dialog.get_by_role("button", name="Put into the trash").click()
    expect(page.get_by_text("Prices is in the trash; it can be restored there.")).to_be_visible()
    expect(page.get_by_role("region", name="Models").get_by_role("link", name="Prices")).to_have_count(0)
    page.get_by_role("link", name="Trash").click()
    page.get_by_role("button", name="Restore Prices").click()
    expect(page.get_by_role("heading", name="Prices")).to_be_visible()


def test_somebody_elses_model_is_not_there(page: Page, ann: Person, person: Person, page_errors: PageErrors) -> None:
    page_errors.allow("404")
    person.opens(page, f"/ui/models/{model_of(ann, 'Grapes').public_id}/")
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
    person.opens(page, "/ui/models/")
    expect(page.get_by_role("heading", name="No models yet")).to_be_visible()
