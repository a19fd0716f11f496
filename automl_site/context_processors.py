"""What every page needs to know of the site."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from automl_site import __version__


def site(request: HttpRequest) -> dict[str, Any]:
    return {
        "site_version": __version__,
        "open_mode": settings.OPEN_MODE,
        "registration_open": settings.REGISTRATION_OPEN,
    }
