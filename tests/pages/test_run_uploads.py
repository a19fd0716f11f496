"""Files put into a run by its page: dropped or chosen, small or in pieces, over a line that breaks."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.conftest import wait_until
from tests.pages.conftest import VIEWPORTS, PageErrors
from tests.pages.site import Person, Site
from tracking.models import Artifact, ArtifactUpload, Run
from tracking.services.projects import project_create
from tracking.services.runs import run_create

pytestmark = pytest.mark.browser
Choose = Callable[..., Locator]
PIECE = 4 * 2**20
LARGE = bytes(range(256)) * (2 * PIECE // 256) + b"the last piece"


@pytest.fixture(scope="module")
def ann(site: Site) -> Iterator[Person]:
    ann = site.new_person()
    yield ann
    ann.leaves()


@pytest.fixture
def run(ann: Person) -> Run:
    project = project_create(owner=ann.user, name="uploads")
    return run_create(project=project, name="takes files", config={}, tags=[])


@pytest.fixture
def files_tab(page: Page, ann: Person, run: Run) -> Page:
    return ann.opens(page, f"/ui/runs/{run.pk}/?tab=files&folder=plots/")


@pytest.fixture
def choose(files_tab: Page, tmp_path: Path) -> Choose:
    """choose(name, content) -> the file's row in the list of uploads; without content, the same file once more."""

    def choose(name: str, content: bytes = b"") -> Locator:
        path = tmp_path / name
        if content:
            path.write_bytes(content)
        files_tab.get_by_label("Drop files here").set_input_files(path)
        return files_tab.locator(".upload-item").filter(has_text=name)

    return choose


def digest_of(run: Run, path: str) -> str:
    return Artifact.objects.get(run=run, path=path, is_latest=True).blob.sha256


def test_small_and_large_files_are_stored_in_the_open_folder_and_listed(
    files_tab: Page, run: Run, choose: Choose, axe: Callable[..., None], fits_width: Callable[[Page], None]
) -> None:
    asked = []

    def still_reading(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) == 1:
            route.fulfill(status=202, json={"offset": len(LARGE)})
        else:
            route.continue_()

    files_tab.route("**/complete", still_reading)
    expect(choose("loss é.csv", b"a,b\n")).to_contain_text("Stored")
    expect(choose("model.bin", LARGE)).to_contain_text("Stored")
    assert len(asked) == 2
    for name, content in (("loss é.csv", b"a,b\n"), ("model.bin", LARGE)):
        expect(files_tab.get_by_role("link", name=name, exact=True)).to_be_visible()
        assert digest_of(run, f"plots/{name}") == hashlib.sha256(content).hexdigest()
    files_tab.get_by_role("button", name="Remove loss é.csv from this list").press("Enter")
    expect(files_tab.locator(".upload-item")).to_have_count(1)
    expect(choose("loss é.csv", b"a,b\n1,2\n")).to_contain_text("Stored as version 2")
    expect(files_tab.get_by_role("status").filter(has_text="loss é.csv: Stored")).to_be_attached()
    files_tab.set_viewport_size(VIEWPORTS["phone"])
    axe(files_tab)
    fits_width(files_tab)


def test_a_broken_line_costs_a_piece_and_a_reload_goes_on_with_the_same_file(
    files_tab: Page, run: Run, choose: Choose, page_errors: PageErrors
) -> None:
    page_errors.allow("ERR_FAILED")
    offsets: list[str] = []
    breaks = [PIECE]  # offsets whose piece does not get through

    def line(route: Route) -> None:
        offsets.append(route.request.headers["upload-offset"])
        if int(offsets[-1]) in breaks:
            route.abort()
        else:
            route.continue_()

    files_tab.route("**/uploads/*", lambda route: line(route) if route.request.method == "PATCH" else route.continue_())
    row = choose("model.bin", LARGE)
    expect(row).to_contain_text("The connection broke; trying again in")
    assert ArtifactUpload.objects.get(run=run).received_bytes == PIECE
    files_tab.once("dialog", lambda dialog: dialog.accept())  # "leave while files are being sent?"
    files_tab.reload()
    breaks.clear()
    offsets.clear()
    expect(choose("model.bin")).to_contain_text("Stored")
    assert offsets == [str(PIECE), str(2 * PIECE)]
    assert digest_of(run, "plots/model.bin") == hashlib.sha256(LARGE).hexdigest()


def test_an_upload_is_cancelled_by_keyboard_and_leaves_nothing(files_tab: Page, run: Run, choose: Choose) -> None:
    files_tab.route("**/uploads/*", lambda route: None if route.request.method == "PATCH" else route.continue_())
    row = choose("model.bin", LARGE)
    wait_until(ArtifactUpload.objects.filter(run=run).exists, what="the upload")
    expect(row.get_by_role("progressbar", name="Upload of model.bin")).to_be_visible()
    row.get_by_role("button", name="Cancel the upload of model.bin").press("Enter")
    expect(row).to_contain_text("Cancelled")
    expect(row.get_by_role("button", name="Remove model.bin from this list")).to_be_focused()
    wait_until(lambda: not ArtifactUpload.objects.filter(run=run).exists(), what="the end of the upload")
    assert not Artifact.objects.filter(run=run).exists()


def test_an_upload_cancelled_before_its_beginning_was_answered_leaves_nothing(
    files_tab: Page, run: Run, choose: Choose
) -> None:
    held: list[Callable[[], None]] = []

    def hold_the_answer(route: Route) -> None:
        answer = route.fetch()
        held.append(lambda: route.fulfill(response=answer))

    files_tab.route("**/uploads", hold_the_answer)
    row = choose("model.bin", LARGE)
    wait_until(lambda: files_tab.wait_for_timeout(10) is None and bool(held), what="the beginning")
    assert ArtifactUpload.objects.filter(run=run).exists()
    row.get_by_role("button", name="Cancel the upload of model.bin").click()
    expect(row).to_contain_text("Cancelling")
    held[0]()
    expect(row).to_contain_text("Cancelled")
    wait_until(lambda: not ArtifactUpload.objects.filter(run=run).exists(), what="the end of the upload")


def test_what_the_server_refuses_is_said_in_its_words(choose: Choose, page_errors: PageErrors) -> None:
    page_errors.allow("400")
    row = choose("a\\b.csv", b"1")
    expect(row).to_contain_text("A path may not contain backslashes")
