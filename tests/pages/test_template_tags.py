"""The wording of numbers, times and states on the pages, and that every partial renders what it is given."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.core.paginator import Paginator
from django.template import Context, Template
from django.template.loader import render_to_string
from django.test import RequestFactory

from automl_site.templatetags import ui

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0849, "85 ms"),
        (12, "12 s"),
        (12.34, "12.3 s"),
        (59.97, "1 min 00 s"),
        (245, "4 min 05 s"),
        (3 * 3600 + 7 * 60, "3 h 07 min"),
        (timedelta(days=2, hours=4), "2 d 4 h"),
        (None, "–"),
        (float("nan"), "–"),
        (-1, "–"),
        ("soon", "–"),
    ],
)
def test_a_duration_takes_two_units_at_most(seconds: object, words: str) -> None:
    assert ui.duration(seconds) == words


@pytest.mark.parametrize(
    ("distance", "words"),
    [
        (timedelta(seconds=2), "just now"),
        (timedelta(seconds=12), "12 s ago"),
        (timedelta(minutes=59, seconds=59), "59 min ago"),
        (timedelta(hours=-3), "in 3 h"),
        (timedelta(days=40), "40 d ago"),
        (timedelta(days=400), "2025-10-17"),
    ],
)
def test_a_moment_is_told_relative_to_now_for_a_year(distance: timedelta, words: str) -> None:
    assert ui.relative_time(NOON - distance, NOON) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"),
        (1234567, "1,234,567"),
        (0.973123, "0.9731"),
        (1234.5678, "1,235"),
        (0.5, "0.5"),
        (0.0, "0"),
        (1.2346e-7, "1.235e-07"),
        (float("nan"), "NaN"),
        (float("inf"), "∞"),
        ("NaN", "NaN"),
        (True, "True"),
    ],
)
def test_a_number_keeps_four_significant_digits(value: object, words: str) -> None:
    assert ui.number(value) == words


def test_only_the_whole_is_a_hundred_percent() -> None:
    assert ui.percent(0.9999) == "99%"
    assert ui.percent(1.0) == "100%"
    assert ui.percent(0.29) == "29%"  # 0.29 * 100 is 28.999… in floating point


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 B"), (999, "999 B"), (14_200, "14.2 kB"), (3.1e9, "3.1 GB"), (-1, "–")]
)
def test_sizes_are_in_decimal_units(size: float, words: str) -> None:
    assert ui.filesize(size) == words


def test_heat_has_eleven_steps_and_takes_anything() -> None:
    assert [ui.heat(share) for share in (0, 0.04, 0.5, 1, 7, -1, None)] == [
        "heat-0",
        "heat-0",
        "heat-5",
        "heat-10",
        "heat-10",
        "heat-0",
        "heat-0",
    ]


def test_a_class_that_never_occurs_makes_no_division_by_zero() -> None:
    rows = ui.heat_rows(["a", "b"], [[0, 0], [1, 3]])
    assert [[cell["share"] for cell in row["cells"]] for row in rows] == [[0.0, 0.0], [0.25, 0.75]]
    assert [cell["hit"] for cell in rows[1]["cells"]] == [False, True]


def test_the_pager_shows_the_neighbours_the_ends_and_gaps() -> None:
    pages = Paginator(range(1000), 25)
    assert ui.page_numbers(pages, 20) == [1, None, 18, 19, 20, 21, 22, None, 40]


def test_the_pager_keeps_the_filters() -> None:
    page = Paginator(range(100), 25).page(2)
    request = RequestFactory().get("/ui/jobs/", {"status": "failed", "page": "2"})
    html = render_to_string("partials/pager.html", {"page_obj": page, "noun": "jobs"}, request=request)
    assert "26–50 of 100 jobs" in html
    assert 'href="?status=failed&amp;page=3"' in html


def test_a_sorted_column_offers_the_other_direction_and_leaves_the_page() -> None:
    request = RequestFactory().get("/ui/jobs/", {"sort": "name", "page": "4", "q": "x"})
    assert ui.sort_link({"request": request}, "name") == {"href": "?sort=-name&q=x", "direction": "ascending"}
    assert ui.sort_link({"request": request}, "made")["direction"] == "none"


def test_a_badge_tells_its_state_by_icon_and_word() -> None:
    html = render_to_string("partials/status_badge.html", {"status": "handed_back"})
    assert "#status-handed_back" in html
    assert "Handed back" in html
    assert "#status-unknown" in render_to_string("partials/status_badge.html", {"status": "<odd>"})


def test_every_known_state_has_its_symbol() -> None:
    sprite = (settings.BASE_DIR / "static/img/icons.svg").read_text(encoding="utf-8")
    for status in ui.STATUS_TONES:
        assert f'id="status-{status}"' in sprite
    for item in ui.NAVIGATION:
        assert f'id="{item.icon}"' in sprite


def test_what_users_typed_is_escaped_in_the_partials() -> None:
    odd = '"><script>alert(1)</script>'
    for name, context in {
        "partials/id_copy.html": {"value": odd},
        "partials/code_block.html": {"code": odd},
        "partials/empty.html": {"title": odd, "text": odd, "command": odd},
        "partials/error.html": {"title": odd, "text": odd},
        "partials/bars.html": {"items": [{"label": odd, "value": 1.0}]},
        "partials/heat_matrix.html": {"labels": [odd], "matrix": [[1]]},
        "partials/confirm.html": {"id": "x", "button": odd, "title": odd, "text": odd, "action": odd},
    }.items():
        html = render_to_string(name, context)
        assert "<script>" not in html, name
        assert "alert(1)" in html, name


def test_the_theme_cookie_takes_two_values_only() -> None:
    request = SimpleNamespace(COOKIES={"theme": '" onload="x'})
    assert ui.chosen_theme({"request": request}) == ""
    assert ui.chosen_theme({"request": SimpleNamespace(COOKIES={"theme": "dark"})}) == "dark"


def test_the_navigation_marks_the_longest_match_and_hides_the_admin() -> None:
    user = SimpleNamespace(is_staff=False)
    request = SimpleNamespace(path="/admin/jobs/")
    assert "/admin/" not in [item["path"] for item in ui.navigation({"request": request, "user": user})]
    user.is_staff = True
    current = [item["path"] for item in ui.navigation({"request": request, "user": user}) if item["current"]]
    assert current == ["/admin/"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/ui/", ["/ui/"]),
        ("/ui/runs/7/", ["/ui/projects/"]),
        ("/ui/compare/", ["/ui/projects/"]),
        ("/ui/jobs/x/", ["/ui/jobs/"]),
        ("/ui/jobs/new/", ["/ui/jobs/new/"]),
        ("/ui/account/", []),
    ],
)
def test_the_navigation_marks_where_a_page_belongs(path: str, expected: list[str]) -> None:
    context = {"request": SimpleNamespace(path=path), "user": SimpleNamespace(is_staff=False)}
    assert [item["path"] for item in ui.navigation(context) if item["current"]] == expected


def test_templates_carry_no_inline_script_style_or_handler() -> None:
    request = RequestFactory().get("/ui/")
    html = Template('{% extends "base.html" %}').render(Context({"request": request, "messages": []}))
    for forbidden in ("<style", " style=", " onclick=", "javascript:", "<script>"):
        assert forbidden not in html
