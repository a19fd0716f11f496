"""How contracts write their paths."""

from collections.abc import Callable
from typing import Any

from django.urls import URLPattern, re_path


def contract_path(route: str, view: Callable[..., Any], name: str) -> URLPattern:
    """A path that answers with and without a trailing slash (a redirect would lose a POST's body).

    `route` is a regular expression without anchors: `jobs/(?P<job_id>[^/]+)/status`.
    """
    return re_path(rf"^{route}/?$", view, name=name)
