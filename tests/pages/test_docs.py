"""The readers of the OpenAPI documents draw every contract, and their browser's console stays clean."""

import pytest
from playwright.sync_api import Page, expect

from api.base.dialect import dialects
from tests.conftest import in_brief
from tests.pages.site import Site

# A path that each contract's document has.
PATHS = {
    "tracking": "/auth/login",
    "automl": "/v1/auth/token",
    "job-queue": "/jobs/training",
    "llm-pipelines": "/api/v1/datasets/upload",
}


@pytest.mark.parametrize("name", in_brief(dialects(), "tracking"))
def test_redoc_shows_the_contract(page: Page, site: Site, name: str) -> None:
    page.goto(f"{site.url}/redoc/{name}")
    expect(page.get_by_role("heading", level=1, name=dialects()[name].title)).to_be_visible()
    if name in PATHS:
        expect(page.get_by_text(PATHS[name]).first).to_be_attached()
    expect(page.get_by_alt_text("redocly logo")).to_be_hidden()
    page.wait_for_load_state("load")  # what it asks of others is refused here, and the console says so


@pytest.mark.parametrize("name", in_brief(dialects(), "tracking"))
def test_swagger_shows_the_contract(page: Page, site: Site, name: str) -> None:
    page.goto(f"{site.url}/docs?urls.primaryName={dialects()[name].title}")
    expect(page.get_by_role("heading", level=1, name=dialects()[name].title)).to_be_visible()
    if name in PATHS:
        # Swagger UI lets a line break after each part of a path.
        expect(page.locator(f'.opblock-summary-path[data-path="{PATHS[name]}"]').first).to_be_visible()
    page.wait_for_load_state("load")
    expect(page.locator('img[src*="validator"]')).to_have_count(0)  # the badge that it would fetch from elsewhere
