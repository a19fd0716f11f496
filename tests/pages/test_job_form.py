"""The form to train a model, in a browser: data dropped in, its own columns offered, nothing typed lost."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from jobs.models import Job
from tests.pages.conftest import NewPage, PageErrors
from tests.pages.site import WINE, Person

FORM = "/ui/jobs/new/"
JOB_PAGE = re.compile(r"/ui/jobs/[0-9a-f-]{36}/$")


def the_job(person: Person) -> Job:
    return Job.objects.get(owner=person.user)


def chooses_file(page: Page, path: Path) -> None:
    page.get_by_label("Drop a file here, or choose one").set_input_files(path)


@pytest.fixture
def wine(tmp_path: Path) -> Path:
    path = tmp_path / "wine.csv"
    path.write_text(WINE)
    return path


def test_a_file_chosen_before_the_scripts_have_come_is_uploaded_all_the_same(
    page: Page, person: Person, wine: Path
) -> None:
    person.opens(page, "/ui/")
    page.route(re.compile(r"/js/upload"), lambda route: None)  # they wait
    page.goto(person.site.url + FORM, wait_until="commit")
    chooses_file(page, wine)
    page.wait_for_function("document.readyState === 'interactive'")
    page.unroute_all()  # which lets them come
    expect(page.get_by_label("Data set or path")).to_have_value(re.compile(r"^ds_[0-9a-f]{12}$"))


def test_a_dropped_file_is_uploaded_and_its_columns_are_offered(page: Page, person: Person, wine: Path) -> None:
    person.opens(page, FORM)
    expect(page.get_by_text("None yet: upload the first one below.")).to_be_visible()
    transfer = page.evaluate_handle(
        """(content) => {
             const transfer = new DataTransfer();
             transfer.items.add(new File([content], "wine.csv", { type: "text/csv" }));
             return transfer;
           }""",
        wine.read_text(),
    )
    page.locator(".dropzone").dispatch_event("drop", {"dataTransfer": transfer})
    expect(page.locator(".upload-list").get_by_text("Stored")).to_be_visible()
    expect(page.get_by_label("Data set or path")).to_have_value(re.compile(r"^ds_[0-9a-f]{12}$"))
    expect(page.get_by_label("Your data sets").locator("option:checked")).to_have_text("wine.csv")
    target = page.get_by_label("Target column")
    expect(target.locator("option")).to_have_text(
        ["Last column (organic)", "alcohol", "grape", "ash content", "organic"]
    )
    target.select_option("grape")
    page.get_by_label("Trees").fill("20")
    page.get_by_label("Description").fill("Which grape")
    page.get_by_role("button", name="Start training").click()
    expect(page).to_have_url(JOB_PAGE)
    expect(page.get_by_role("heading", name="Which grape")).to_be_visible()
    job = person.waits_for(the_job(person), "completed")
    assert job.hyperparameters == {"target": "grape", "n_estimators": 20}
    assert job.trained_model.schema["target"] == "grape"


def test_the_progress_of_an_upload_is_shown_and_it_can_be_cancelled(page: Page, person: Person, tmp_path: Path) -> None:
    # The browser waits for the answer of a route that never gives one.
    page.route("**/api/v1/datasets/upload", lambda route: None)
    person.opens(page, FORM)
    large = tmp_path / "large.csv"
    large.write_text("a,b\n" + "1,2\n" * 100_000)
    chooses_file(page, large)
    item = page.locator(".upload-item")
    expect(item).to_contain_text("large.csv · 400.0 kB")
    expect(item.get_by_role("progressbar", name="Upload of large.csv")).to_be_visible()
    item.get_by_role("button", name="Cancel the upload of large.csv").click()
    expect(item).to_contain_text("Cancelled")
    expect(page.get_by_label("Data set or path")).to_have_value("")


def test_a_refused_file_says_why_and_picks_nothing(
    page: Page, person: Person, page_errors: PageErrors, tmp_path: Path
) -> None:
    page_errors.allow("400")
    person.opens(page, FORM)
    bad = tmp_path / "bad.csv"
    bad.write_text("a,b\n1\n2\n")
    chooses_file(page, bad)
    expect(page.locator(".upload-item")).to_contain_text("row 2: 1 values where the header has 2")
    expect(page.get_by_label("Data set or path")).to_have_value("")


def test_picking_a_data_set_offers_its_columns(page: Page, person: Person) -> None:
    dataset = person.uploads()
    person.opens(page, FORM)
    expect(page.get_by_label("Target column")).to_have_attribute("placeholder", "The last column")
    page.get_by_label("Your data sets").select_option(dataset.public_id)
    expect(page.get_by_label("Data set or path")).to_have_value(dataset.public_id)
    expect(page.get_by_label("Target column").locator("option")).to_have_count(5)


def test_a_target_with_spaces_around_its_name_is_found(page: Page, person: Person) -> None:
    dataset = person.uploads(WINE.replace("alcohol,grape,", "alcohol, grape ,"))
    person.opens(page, f"{FORM}?dataset={dataset.public_id}")
    target = page.get_by_label("Target column")
    target.select_option(index=2)
    expect(target.locator("option:checked")).to_have_text("grape")
    page.get_by_label("Trees").fill("5")
    page.get_by_role("button", name="Start training").click()
    expect(page).to_have_url(JOB_PAGE)
    job = person.waits_for(the_job(person), "completed")
    assert job.trained_model.schema["target"].strip() == "grape"


def test_a_data_sets_page_leads_to_the_form_with_it_picked(page: Page, person: Person) -> None:
    dataset = person.uploads()
    person.opens(page, f"/ui/datasets/{dataset.public_id}/")
    page.get_by_role("link", name="Train on this").click()
    expect(page.get_by_label("Data set or path")).to_have_value(dataset.public_id)
    expect(page.get_by_label("Your data sets")).to_have_value(dataset.public_id)
    expect(page.get_by_label("Target column").locator("option")).to_have_count(5)


def test_another_model_type_brings_its_own_fields_and_keeps_what_both_have(page: Page, person: Person) -> None:
    dataset = person.uploads()
    person.opens(page, f"{FORM}?dataset={dataset.public_id}")
    page.get_by_label("Target column").select_option("grape")
    page.get_by_label("Test share").fill("0.3")
    expect(page.get_by_label("Trees")).to_be_visible()
    page.get_by_label("Model type").select_option("svm")
    expect(page.get_by_label("Kernel", exact=True)).to_be_visible()
    expect(page.get_by_label("Trees")).to_have_count(0)
    expect(page.get_by_label("Target column")).to_have_value("grape")
    expect(page.get_by_label("Test share")).to_have_value("0.3")


def test_a_model_of_images_asks_for_images_and_says_which_worker_is_missing(page: Page, person: Person) -> None:
    person.opens(page, FORM)
    expect(page.get_by_text("Goes to the queue Scikit-learn sklearn")).to_be_visible()
    expect(page.get_by_label("Architecture")).to_be_hidden()
    page.get_by_text("The same by API").click()
    page.get_by_label("Model type").select_option("resnet")
    expect(page.get_by_text("A zip with a folder of images for each class")).to_be_visible()
    page.get_by_label("Depth").select_option("18")
    page.get_by_label("Needs a GPU").check()
    expect(page.get_by_text("which no live worker serves")).to_be_visible()
    expect(page.locator("#destination code").last).to_contain_text("--queues pytorch-2.0-gpu")
    expect(page.get_by_label("Depth")).to_have_value("18")
    expect(page.get_by_role("group", name="curl command")).to_contain_text('"depth": 18')
    page.get_by_label("Model type").select_option("other")
    expect(page.get_by_label("Architecture")).to_be_visible()
    expect(page.get_by_label("More hyperparameters")).to_be_visible()


def test_what_is_typed_while_the_fields_are_read_is_kept(page: Page, person: Person) -> None:
    dataset = person.uploads()
    person.opens(page, FORM)
    held: list[Route] = []
    page.route("**/ui/jobs/new/fields/*", lambda route: held.append(route))
    with page.expect_request("**/ui/jobs/new/fields/*"):
        page.get_by_label("Your data sets").select_option(dataset.public_id)
    expect(page.get_by_text("Reading the columns…")).to_be_visible()
    page.get_by_label("Trees").press_sequentially("77")
    held[0].continue_()
    expect(page.get_by_label("Target column").locator("option")).to_have_count(5)
    expect(page.get_by_label("Trees")).to_have_value("77")
    expect(page.get_by_label("Trees")).to_be_focused()
    expect(page.get_by_text("Reading the columns…")).to_have_count(0)


def test_fields_that_cannot_be_read_are_said_to_be_so(page: Page, person: Person, page_errors: PageErrors) -> None:
    page_errors.allow("ERR_FAILED")
    person.opens(page, FORM)
    page.get_by_label("Description").fill("Stays")
    page.route("**/ui/jobs/new/fields/*", lambda route: route.abort())
    page.get_by_label("Model type").select_option("svm")
    expect(page.get_by_role("alert")).to_contain_text("The form's fields could not be read")
    expect(page.get_by_label("Description")).to_have_value("Stays")


def test_what_is_refused_stands_at_its_field_with_the_focus(
    page: Page, person: Person, page_errors: PageErrors
) -> None:
    page_errors.allow("422")
    dataset = person.uploads()
    person.opens(page, f"{FORM}?dataset={dataset.public_id}")
    page.get_by_label("Target column").select_option("grape")
    page.get_by_text("Advanced hyperparameters").click()
    page.get_by_label("Random seed").fill("-1")
    page.get_by_role("button", name="Start training").click()
    seed = page.get_by_label("Random seed")
    expect(seed).to_be_visible()
    expect(seed).to_be_focused()
    expect(seed).to_have_value("-1")
    expect(seed).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text("must be a whole number of at least 0")).to_be_visible()
    expect(page.get_by_label("Target column")).to_have_value("grape")
    assert not Job.objects.filter(owner=person.user).exists()


def test_a_path_that_is_not_there_is_refused_at_its_field(page: Page, person: Person, page_errors: PageErrors) -> None:
    page_errors.allow("422")
    person.opens(page, FORM)
    page.get_by_label("Data set or path").fill("ds_000000000000")
    page.get_by_role("button", name="Start training").click()
    path = page.get_by_label("Data set or path")
    expect(path).to_be_focused()
    expect(path).to_have_attribute("aria-invalid", "true")
    expect(path).to_have_value("ds_000000000000")


def test_a_double_click_starts_one_training(page: Page, person: Person) -> None:
    dataset = person.uploads()
    person.opens(page, f"{FORM}?dataset={dataset.public_id}")
    page.get_by_label("Trees").fill("5")
    page.get_by_role("button", name="Start training").dblclick()
    expect(page).to_have_url(JOB_PAGE)
    assert the_job(person).hyperparameters == {"n_estimators": 5}


def test_run_again_with_changes_starts_from_the_first_order(page: Page, person: Person) -> None:
    dataset = person.uploads()
    first = person.trained("random_forest", dataset, description="First", target="grape", n_estimators=7)
    person.opens_job(page, first)
    page.get_by_role("link", name="Run again with changes").click()
    expect(page.get_by_label("Description")).to_have_value("First")
    expect(page.get_by_label("Target column")).to_have_value("grape")
    expect(page.get_by_label("Trees")).to_have_value("7")
    page.get_by_label("Trees").fill("9")
    page.get_by_role("button", name="Start training").click()
    expect(page).to_have_url(JOB_PAGE)
    second = Job.objects.filter(owner=person.user).latest("created_at")
    assert second.hyperparameters == {"target": "grape", "n_estimators": 9}


def test_a_training_is_started_with_the_keyboard_alone(page: Page, person: Person) -> None:
    dataset = person.uploads()
    person.opens(page, FORM)

    def tab_to(name: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            label = page.evaluate(
                "() => (document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()"
            )
            if label.startswith(name):
                return
        pytest.fail(f"no Tab leads to {name}")

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # skip to the content
    tab_to("Your data sets")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_label("Data set or path")).to_have_value(dataset.public_id)
    tab_to("Model type")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_label("Trees")).to_have_count(0)
    expect(page.get_by_label("Model type")).to_be_focused()
    tab_to("Target column")
    page.keyboard.type("grape")
    expect(page.get_by_label("Target column")).to_have_value("grape")
    tab_to("Start training")
    page.keyboard.press("Enter")
    expect(page).to_have_url(JOB_PAGE)
    job = person.waits_for(the_job(person), "completed")
    assert job.model_type != "random_forest"
    assert job.hyperparameters == {"target": "grape"}


def test_without_script_a_path_is_typed_and_the_training_starts(new_page: NewPage, person: Person) -> None:
    dataset = person.uploads()
    page = person.opens(new_page(java_script_enabled=False), FORM)
    expect(page.get_by_text("Drop a file here")).to_be_hidden()
    page.get_by_label("Data set or path").fill(dataset.public_id)
    page.get_by_label("Target column").fill("grape")
    page.get_by_label("Trees").fill("5")
    page.get_by_role("button", name="Start training").click()
    expect(page).to_have_url(JOB_PAGE)
    assert the_job(person).hyperparameters == {"target": "grape", "n_estimators": 5}
