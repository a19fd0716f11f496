"""A real browser for the page tests: Debian's Chromium, driven by playwright.

    def test_dashboard(new_page, axe):
        page = new_page(viewport="phone", theme="dark")
        page.goto(…)
        axe(page)

A page that logs an error to its console, or throws one, fails its test; `page_errors.allow(r"409")` says which are
meant.
Without Chromium these tests are skipped, each by its name.
"""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import playwright
import pytest
from django.core.management import call_command
from django.test.utils import setup_databases, teardown_databases
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from tests.conftest import asks_for_database
from tests.pages.site import Person, Site

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = ROOT / "tests" / "pages"
AXE_SOURCE = ROOT / "tests" / "assets" / "axe" / "axe.min.js"
SCREENSHOTS = ROOT / "test-results" / "screenshots"
# The first has no windows to draw: it takes half the processor time of the others, which can draw them.
CHROMIUM_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
# The list of what is switched off can be given once: this is playwright's, which ours takes the place of …
PLAYWRIGHT_LEAVES_OUT = (
    "AimEnabled",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
)
# … and the address bar's suggestions: pages of the browser's own, which each window loads in a process beside ours.
SUGGESTIONS = ("WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup", "WebUIOmniboxPopup")
CHROMIUM_FLAGS = [
    f"--disable-features={','.join((*PLAYWRIGHT_LEAVES_OUT, *SUGGESTIONS))}",
    "--no-sandbox",  # root has no sandbox, and the pages are our own
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
VIEWPORTS = {"wide": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
THEMES = ("light", "dark")
KEPT = {("wide", "light"), ("phone", "dark")}  # a picture takes as long as a check
COLOUR_RULES = ["color-contrast", "link-in-text-block"]  # all that a theme changes is colours
# Half-way between two themes' colours nothing has its contrast.
TRANSITIONS_OVER = """() => Promise.all(
  document.getAnimations()
    .filter((each) => Number.isFinite(each.effect.getComputedTiming().endTime))
    .map((each) => each.finished.catch(() => {})))
  .then(() => {})"""
WCAG_AA = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# Of what a passing test does not wait for: a loaded machine is several times slower than a quiet one.
TIMEOUT_MS = 30_000
expect.set_options(timeout=TIMEOUT_MS)

# Of each answer to the browser: what a test does before a page's scripts have come shows at 300.
LATENCY_MS = int(os.environ.get("AUTOML_TESTS_LATENCY_MS", "0"))

NewPage = Callable[..., Page]


class PageErrors:
    """What the pages of one test logged as errors or threw."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self._allowed: list[re.Pattern[str]] = []

    def allow(self, pattern: str) -> None:
        """Let messages that match the regular expression pass: a refused request logs one too."""
        self._allowed.append(re.compile(pattern))

    def watch(self, page: Page) -> None:
        page.on("console", lambda message: message.type == "error" and self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(f"uncaught: {error}"))

    def unexpected(self) -> list[str]:
        return [text for text in self.messages if not any(pattern.search(text) for pattern in self._allowed)]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses the browser carries the mark `browser`, so that no test of this folder forgets it."""
    for item in items:
        if item.path.is_relative_to(HERE) and "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Keep a screenshot of every open page of a test that failed."""
    report = yield
    if call.when == "call" and report.failed:
        for number, page in enumerate(item.stash.get(OPEN_PAGES, [])):
            name = re.sub(r"[^\w-]+", "_", f"{item.name}-{number}")
            # What hinders a picture hindered the test: an error in this hook would end the whole run.
            with contextlib.suppress(PlaywrightError):
                page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True, timeout=10_000)
    return report


OPEN_PAGES = pytest.StashKey[list[Page]]()


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The browser's path; skips where there is none, or where playwright's own program cannot start."""
    path = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if path is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium-headless-shell)")
    # A bare Debian lacks a library that playwright's Node.js is linked to.
    driver = Path(playwright.__file__).parent / "driver" / "node"
    answer = subprocess.run([driver, "--version"], capture_output=True, text=True)
    if answer.returncode != 0:
        pytest.skip(f"playwright does not start (apt-get install libatomic1): {answer.stderr.strip()}")
    return path


# Of this package, not of the session: while it runs, playwright's event loop is this thread's running one, and no
# asynchronous test elsewhere could start its own.
@pytest.fixture(scope="package")
def browser(chromium_path: str) -> Iterator[Browser]:
    # For the same reason Django takes this thread for an asynchronous one.
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=chromium_path, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
    else:
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = before


@pytest.fixture
def page_errors() -> Iterator[PageErrors]:
    errors = PageErrors()
    yield errors
    assert not errors.unexpected(), "errors in the browser's console"


@pytest.fixture
def new_page(request: pytest.FixtureRequest, browser: Browser, page_errors: PageErrors) -> Iterator[NewPage]:
    """new_page(viewport="wide"|"phone", theme="light"|"dark", **context_options) -> a page with cookies of its own."""
    contexts: list[BrowserContext] = []
    pages = request.node.stash.setdefault(OPEN_PAGES, [])

    def make(*, viewport: str = "wide", theme: str = "light", **options: Any) -> Page:
        context = browser.new_context(
            viewport=VIEWPORTS[viewport], color_scheme=theme, has_touch=viewport == "phone", **options
        )
        context.set_default_timeout(TIMEOUT_MS)
        contexts.append(context)
        page = context.new_page()
        page_errors.watch(page)
        pages.append(page)
        if LATENCY_MS:
            network = context.new_cdp_session(page)
            network.send("Network.setCacheDisabled", {"cacheDisabled": True})
            limits = {"latency": LATENCY_MS, "downloadThroughput": -1, "uploadThroughput": -1}
            network.send("Network.emulateNetworkConditions", {"offline": False, **limits})
        return page

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_page: NewPage) -> Page:
    """A wide, light page."""
    return new_page()


@pytest.fixture(scope="session")
def axe() -> Callable[..., None]:
    """axe(page) fails with every violation of WCAG's A and AA rules (or of `rules`) on the page, or in `selector`."""
    source = AXE_SOURCE.read_text()

    def check(page: Page, *, selector: str = "html", rules: Sequence[str] = ()) -> None:
        run_only = {"type": "rule", "values": rules} if rules else {"type": "tag", "values": WCAG_AA}
        if not page.evaluate("() => 'axe' in window"):
            page.evaluate(source)
        page.evaluate(TRANSITIONS_OVER)
        result = page.evaluate(
            "([selector, runOnly]) => axe.run(selector, {runOnly, resultTypes: ['violations']})", [selector, run_only]
        )
        violations = [
            f"{violation['id']} ({violation['impact']}): {node['html'][:160]}  {node['failureSummary']}"
            for violation in result["violations"]
            for node in violation["nodes"]
        ]
        assert not violations, f"axe on {page.url}:\n  " + "\n  ".join(violations)

    return check


@pytest.fixture(scope="session")
def fits_width() -> Callable[[Page], None]:
    """fits_width(page) fails if the page scrolls sideways, naming the elements that stick out."""

    def check(page: Page) -> None:
        culprits = page.evaluate(
            """() => {
              const width = document.documentElement.clientWidth;
              if (document.documentElement.scrollWidth <= width) return [];
              const wide = [...document.querySelectorAll('body *')].filter((element) =>
                element.getBoundingClientRect().right > width + 1 || element.scrollWidth > element.clientWidth + 1);
              return ['html', ...wide.map((element) => element.outerHTML.slice(0, 120))];
            }"""
        )
        assert not culprits, f"{page.url} is wider than {page.viewport_size}: {culprits[:6]}"

    return check


@pytest.fixture
def look(page: Page, axe: Callable[..., None], fits_width: Callable[[Page], None]) -> Callable[[str], None]:
    """look(name) checks the open page wide and narrow, light and dark.

    The full suite keeps pictures of it in test-results/screenshots, to be looked at, and checks the dark one's colours
    on a narrow page too.
    """
    full = os.environ.get("AUTOML_TESTS") == "full"

    def check(name: str) -> None:
        for viewport, size in VIEWPORTS.items():
            page.set_viewport_size(size)
            page.evaluate("() => scrollTo(0, 0)")  # what sticks to the window's edge is in its place in the picture
            for theme in THEMES:
                if (viewport, theme) == ("phone", "dark") and not full:
                    continue
                page.emulate_media(color_scheme=theme, reduced_motion="reduce")
                axe(page, rules=[] if theme == "light" else COLOUR_RULES)
                if full and (viewport, theme) in KEPT:
                    path = SCREENSHOTS / f"{name.replace(' ', '-')}-{viewport}-{theme}.jpg"
                    # A hidden caret is an inline style, which a live table that swaps its rows just then would copy.
                    page.screenshot(path=path, full_page=True, caret="initial")
            fits_width(page)

    return check


@pytest.fixture(scope="session")
def database(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_keepdb: bool, django_db_blocker: Any
) -> Iterator[None]:
    """The test database, for what writes to it for good, since other processes read it.

    pytest-django makes it only where a test that was selected asks for it by a mark or fixture of its own, and those
    would wrap the test into a transaction, or empty the tables under the running workers.
    """
    with django_db_blocker.unblock():
        if any(map(asks_for_database, request.session.items)):
            yield
            return
        made = setup_databases(verbosity=0, interactive=False, keepdb=django_db_keepdb)
        yield
        teardown_databases(made, verbosity=0)


# One for all tests here, since starting it takes seconds. A test that empties the tables may come in between: what a
# module made is then gone, and the workers register again.
@pytest.fixture(scope="package")
def site(
    database: None, django_db_blocker: Any, _valkey_server: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The running platform: `site.url`, `site.new_person()`."""
    with django_db_blocker.unblock():
        here = Site(tmp_path_factory.mktemp("site"))
        try:
            here.start()
            yield here
        finally:
            here.stop()
            call_command("flush", verbosity=0, interactive=False)


@pytest.fixture
def person(site: Site) -> Iterator[Person]:
    """Somebody new, who has nothing yet."""
    somebody = site.new_person()
    yield somebody
    somebody.leaves()
