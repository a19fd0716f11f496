"""What stands at `/`: an introduction for programs, the way to the pages for people."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.views.decorators.http import require_safe

from api.base.dialect import dialects
from api.base.docs import document_url
from api.base.health import API_VERSION
from api.base.renderers import dumps


def api_information() -> dict[str, Any]:
    """What a client may want to know first."""
    return {
        "name": "AutoML platform",
        "version": API_VERSION,
        "health": "/health",
        "docs": "/docs",
        "redoc": "/redoc",
        "openapi": "/openapi.json",
        "contracts": [
            {
                "name": dialect.name,
                "title": dialect.title,
                "description": dialect.description,
                "prefixes": list(dialect.prefixes),
                "openapi": document_url(dialect),
            }
            for dialect in dialects().values()
        ],
    }


@require_safe
def root(request: HttpRequest) -> HttpResponse:
    """JSON, unless the client prefers HTML: then the dashboard (which asks to sign in)."""
    if request.get_preferred_type(["application/json", "text/html"]) == "text/html":
        response: HttpResponse = HttpResponseRedirect("/ui/")
    else:
        response = HttpResponse(dumps(api_information()), content_type="application/json")
    response["Vary"] = "Accept"
    return response
