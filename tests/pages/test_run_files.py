"""The Files tab of a run and a file's page, in a browser."""

import io
import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from jobs.services.artifacts import artifact_put
from tests.pages.site import Person, Site
from tests.services.test_previews import png, wav
from tracking.models import Run
from tracking.services.environments import environment_set
from tracking.services.projects import project_create
from tracking.services.runs import run_create

pytestmark = pytest.mark.browser
CODE = b"import torch\n\n\ndef train(model, data):\n\treturn model.fit(data)  # <b>not markup</b>\n" * 20


@pytest.fixture(scope="module")
def ann(site: Site) -> Iterator[Person]:
    ann = site.new_person()
    yield ann
    ann.leaves()


@pytest.fixture
def run(ann: Person) -> Run:
    project = project_create(owner=ann.user, name="files")
    return run_create(project=project, name="with files", config={}, tags=[])


CHANGE = """diff --git a/train.py b/train.py
@@ -10,7 +10,8 @@ def train():
     model = Net()
-    lr = 0.1
+    lr = {lr}
+    warmup = {warmup}  # a rather long line of code, so that it has to be scrolled or broken on a narrow window
     for batch in data:
         loss = step(batch)
diff --git a/only_{lr}.py b/only_{lr}.py
new file mode 100644
@@ -0,0 +1,2 @@
+import os
+print(os.getcwd())
"""


@pytest.fixture
def pair(ann: Person) -> list[Run]:
    """Two runs whose code differs."""
    project = project_create(owner=ann.user, name="code")
    runs = [run_create(project=project, name=f"code {number}", config={}, tags=[]) for number in range(2)]
    for number, run in enumerate(runs):
        environment = {"python": "3.11.7", "host": f"node-{number}", "packages": [f"torch==2.{number}", "numpy==2.0"]}
        git = {"commit": "8f3c2d1" * 5, "branch": "main", "dirty": True}
        git["diff"] = CHANGE.format(lr=f"0.{number}", warmup=number * 100)
        environment_set(run_id=run.pk, environment=environment, git=git)
    return runs


@pytest.mark.parametrize("view", ["unified", pytest.param("split", marks=pytest.mark.full)])
def test_compared_code_looks_right(
    page: Page, ann: Person, pair: list[Run], look: Callable[[str], None], view: str
) -> None:
    ann.opens(page, f"/ui/compare/?runs={pair[0].pk},{pair[1].pk}&tab=code")
    page.get_by_label("Changes", exact=True).select_option(view)
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page).to_have_url(re.compile(f"view={view}"))
    expect(page.get_by_role("region", name="train.py")).to_contain_text("+    lr = 0.1")
    expect(page.get_by_role("row", name="torch")).to_contain_text("2.0")
    look(f"compare code {view}")


def put(ann: Person, run: Run, path: str, content: bytes) -> None:
    artifact_put(user=ann.user, run_id=run.pk, path=path, file=io.BytesIO(content))


@pytest.fixture
def filled(ann: Person, run: Run) -> Run:
    for step in range(3):
        put(ann, run, f"checkpoints/step-{step}/model.safetensors", bytes([step]) * 3000 * (step + 1))
    put(ann, run, "src/train.py", CODE)
    put(ann, run, "plots/loss.png", png())
    put(ann, run, "plots/sound.wav", wav())
    put(ann, run, "predictions.csv", b"id,label,score\n" + b"1,rose,0.5\n" * 80)
    put(ann, run, "notes with a rather long name, so that it has to be broken on a telephone.md", b"# Notes\n")
    put(ann, run, "predictions.csv", b"id,label,score\n" + b"2,tulip,0.25\n" * 80)
    return run


def test_folders_are_walked_by_keyboard_and_what_is_trashed_comes_back(page: Page, ann: Person, filled: Run) -> None:
    ann.opens(page, f"/ui/runs/{filled.pk}/?tab=files")
    folder = page.get_by_role("link", name="checkpoints/")
    folder.focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"folder=checkpoints/"))
    expect(page.get_by_role("link", name="step-1/")).to_be_visible()
    page.get_by_role("button", name="Put step-1 into the trash").click()
    expect(page.get_by_text("checkpoints/step-1/ is in the trash.")).to_be_visible()
    expect(page.get_by_role("link", name="step-1/")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("link", name="step-1/")).to_be_visible()
    expect(page).to_have_url(re.compile(r"folder=checkpoints"))


def test_a_file_that_comes_in_is_listed_without_a_reload(page: Page, ann: Person, run: Run) -> None:
    ann.opens(page, f"/ui/runs/{run.pk}/?tab=files")
    expect(page.get_by_role("heading", name="No files")).to_be_visible()
    expect(page.locator("[data-connection]")).to_have_text("live")
    put(ann, run, "late.txt", b"here")
    expect(page.get_by_role("link", name="late.txt", exact=True)).to_be_visible()


def test_pictures_and_sounds_are_shown_under_the_pages_policy(page: Page, ann: Person, filled: Run) -> None:
    ann.opens(page, f"/ui/runs/{filled.pk}/file/plots/loss.png")
    picture = page.get_by_role("img", name="loss.png")
    expect(picture).to_be_visible()
    assert picture.evaluate("(node) => node.naturalWidth") == 1
    ann.opens(page, f"/ui/runs/{filled.pk}/file/plots/sound.wav")
    page.wait_for_function("() => document.querySelector('audio').readyState > 0")


@pytest.mark.parametrize(
    "name",
    [
        "files",
        *(
            pytest.param(name, marks=pytest.mark.full)
            for name in ("files empty", "files trash", "file text", "file table")
        ),
    ],
)
def test_files_look_right(
    page: Page, ann: Person, run: Run, filled: Run, look: Callable[[str], None], name: str
) -> None:
    from jobs.services.artifact_trash import artifact_trash

    artifact_trash(user=ann.user, run_id=filled.pk, path="" if name == "files empty" else "plots/sound.wav")
    place = {
        "files trash": "?tab=files&trash=1",
        "file text": "file/src/train.py",
        "file table": "file/predictions.csv",
    }
    ann.opens(page, f"/ui/runs/{filled.pk}/{place.get(name, '?tab=files')}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    look(f"run {name}")
