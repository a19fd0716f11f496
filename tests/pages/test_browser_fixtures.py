"""The page tests' own instruments: a check that can never fail proves nothing."""

import http.server
import threading
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page

BODY = b"""<!doctype html><html lang="en"><head><title>Instruments</title>
<meta name="viewport" content="width=device-width"></head><body><main><h1>Instruments</h1>%s</main></body></html>"""
PARTS = {
    "/good": b"<p>Text</p>",
    "/unlabelled": b"<input type=text>",
    "/wide": b"<pre>" + b"wide" * 100 + b"</pre>",
    "/noisy": b"<img alt='absent' src='/absent.png'>",
    "/favicon.ico": b"",
}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # noqa: N802
        self.send_response(200 if self.path in PARTS else 404)
        self.send_header("Content-Type", "text/html")
        # As strict as the platform's pages: the instruments must work under it.
        self.send_header("Content-Security-Policy", "default-src 'self'; img-src 'self' data:")
        self.end_headers()
        self.wfile.write(BODY % PARTS.get(self.path, b""))

    def log_message(self, *arguments: object) -> None:
        """Say nothing: pytest shows what a test prints."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_axe_passes_a_good_page_under_a_strict_content_security_policy(page: Page, address: str, axe: Callable) -> None:
    page.goto(f"{address}/good")
    axe(page)


def test_axe_fails_a_field_without_a_label_and_names_the_rule(page: Page, address: str, axe: Callable) -> None:
    page.goto(f"{address}/unlabelled")
    with pytest.raises(AssertionError, match="label"):
        axe(page)


def test_a_page_wider_than_a_phone_is_found(new_page: Callable, address: str, fits_width: Callable) -> None:
    phone = new_page(viewport="phone")
    phone.goto(f"{address}/good")
    fits_width(phone)
    phone.goto(f"{address}/wide")
    with pytest.raises(AssertionError, match="wider than"):
        fits_width(phone)


def test_a_failed_request_is_an_error_unless_it_is_allowed(page: Page, page_errors, address: str) -> None:
    page.goto(f"{address}/noisy", wait_until="networkidle")
    assert any("404" in message for message in page_errors.unexpected())
    page_errors.allow("404")
    assert page_errors.unexpected() == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_theme_is_the_one_that_was_asked_for(new_page: Callable, address: str, theme: str) -> None:
    page = new_page(theme=theme)
    page.goto(f"{address}/good")
    assert page.evaluate("theme => matchMedia(`(prefers-color-scheme: ${theme})`).matches", theme)
