"""Trying a model of images and one of language, in a browser, with real small models."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import Page, expect

from jobs.models import Job, TrainedModel
from jobs.services.submission import training_submit
from tests.pages.site import Person, Site
from tests.trainers.vision.conftest import KINDS, picture, png

# To train takes the workers seconds; what the pages say and do without a script, tests/pages_server shows each time.
pytestmark = pytest.mark.full

VERSES = "text\n" + "".join(f'"the cat sat on mat number {n % 10}, said the hat. "\n' for n in range(80))


@pytest.fixture(scope="module")
def ann(site: Site) -> Iterator[Person]:
    ann = site.new_person()
    yield ann
    ann.leaves()


def trained(person: Person, name: str, model_type: str, data_path: str, **hyperparameters: Any) -> TrainedModel:
    job = training_submit(
        user=person.user,
        model_type=model_type,
        data_path=data_path,
        description=name,
        hyperparameters={"random_state": 1, **hyperparameters},
    )
    person.waits_for(job, "completed", timeout=400)
    return TrainedModel.objects.get(job=job)


@pytest.fixture(scope="module")
def writer(ann: Person) -> TrainedModel:
    small = {"num_layers": 1, "hidden_size": 16, "num_heads": 2, "max_length": 16, "vocab_size": 300, "epochs": 2}
    return trained(ann, "Writer", "gpt", ann.uploads(VERSES, "verses.csv").public_id, **small)


@pytest.fixture(scope="module")
def shapes(ann: Person) -> TrainedModel:
    folder = Path(settings.FILES_ROOT) / "shapes"
    for kind in KINDS:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number in range(8):
            (folder / kind / f"{number}.png").write_bytes(png(picture(kind, number)))
    return trained(ann, "Shapes", "resnet", "/data/shapes", depth=18, epochs=2, batch_size=8, image_size=28)


def opens(person: Person, page: Page, model: TrainedModel) -> Page:
    return person.opens(page, f"/ui/models/{model.public_id}/")


def test_the_playground_writes_keeps_what_it_wrote_and_goes_on_from_it(
    page: Page, ann: Person, writer: TrainedModel
) -> None:
    opens(ann, page, writer)
    prompt = page.get_by_role("textbox", name="Prompt")
    prompt.fill("the cat")
    page.get_by_label("Tokens").fill("12")
    page.get_by_label("Seed").fill("5")
    page.get_by_role("button", name="Generate").click()
    answers = page.get_by_role("article", name="Generated text")
    expect(answers.get_by_text(re.compile(r"\d+ tokens? in"))).to_have_count(1)
    expect(answers.first).to_contain_text("max length 12 · seed 5 · temperature 0.8")
    assert Job.objects.filter(owner=ann.user, kind="inference").latest("created_at").input_data == ["the cat"]
    written = answers.first.locator(".generated").inner_text()
    assert written.startswith("the cat")
    page.get_by_role("button", name="Go on from here").click()
    expect(prompt).to_have_value(written)
    prompt.press("Control+Enter")
    expect(answers.get_by_text(re.compile(r"\d+ tokens? in"))).to_have_count(2)
    assert answers.nth(1).locator(".generated").inner_text() == written  # the newest stands first


def test_an_image_classifier_shows_pictures_and_curves_and_answers_an_image(
    page: Page, ann: Person, shapes: TrainedModel
) -> None:
    opens(ann, page, shapes)
    pictures = page.locator(".sample img")
    assert pictures.count() == len(shapes.report["samples"]) > 0
    pictures.last.scroll_into_view_if_needed()
    expect(pictures.first).to_have_js_property("naturalWidth", 32)
    for title in ("loss", "accuracy"):
        expect(page.get_by_role("img", name=f"Line chart of {title}")).to_have_attribute(
            "aria-label", re.compile(r"val_.* at epoch 2,")
        )
    page.get_by_label("Drop an image here").set_input_files(
        {"name": "cross.png", "mimeType": "image/png", "buffer": png(picture("cross", 99))}
    )
    expect(page.get_by_role("img", name="The image to be predicted")).to_be_visible()
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("list", name="Likeliest classes").get_by_role("listitem")).to_have_count(2)
    page.get_by_role("region", name="Scores per class").get_by_role("link", name="Class").click()
    expect(page).to_have_url(re.compile(r"sort=label"))
    expect(page.get_by_role("list", name="Likeliest classes")).to_be_visible()  # the page was not loaded anew


@pytest.mark.parametrize("name", ["writer", "shapes"])
def test_its_page_looks_well(
    page: Page, ann: Person, request: pytest.FixtureRequest, look: Callable[[str], None], name: str
) -> None:
    opens(ann, page, request.getfixturevalue(name))
    if name == "writer":
        page.get_by_role("textbox", name="Prompt").fill("the hat")
        page.get_by_role("button", name="Generate").click()
        expect(page.get_by_role("button", name="Go on from here")).to_be_visible()
    expect(page.get_by_role("img", name="Line chart of loss")).to_be_visible()
    look(f"model {name}")
