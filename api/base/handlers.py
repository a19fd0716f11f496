"""What Django asks for when no view has answered: contracts get their own error body, people a page."""

import sys
from html import escape
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template import TemplateDoesNotExist
from django.template.loader import render_to_string

from api.base.dialect import Problem, dialect_for
from api.base.problems import dialect_of, internal_problem, problem_from, problem_response

TITLES = {
    400: "The request could not be read",
    401: "Please sign in",
    403: "You may not do this",
    404: "There is no such page",
    413: "That is too large",
    429: "Too many attempts",
    500: "Something went wrong on our side",
    503: "Not available at the moment",
}
PLAIN = ("not_found", "forbidden", "malformed", "internal")


def wants_page(request: HttpRequest) -> bool:
    """Whether to answer with a page: at a path of no contract, to who prefers one (a program takes anything)."""
    if dialect_for(request.path_info) is not None:
        return False
    return (
        request.path_info.startswith("/ui/")
        or request.get_preferred_type(["application/json", "text/html"]) == "text/html"
    )


def page(request: HttpRequest, status: int, message: str = "", *, template: str = "") -> HttpResponse:
    """An error page: from `template`, `<status>.html`, else `400.html`; a bare one where there is no template."""
    context: dict[str, Any] = {
        "status": status,
        "title": TITLES.get(status, "The request could not be carried out"),
        "message": message,
        "request_id": getattr(request, "id", ""),
    }
    html: str
    try:
        html = render_to_string(
            [name for name in (template, f"{status}.html", "400.html") if name],
            context,
            request=request if status != 500 else None,
        )
    except TemplateDoesNotExist:
        html = (
            f"<!doctype html><html lang=en><title>{escape(context['title'])}</title>"
            f"<h1>{escape(context['title'])}</h1><p>{escape(message)}</p>"
        )
    return HttpResponse(html, status=status)


def _answer(request: HttpRequest, problem: Problem) -> HttpResponse:
    if wants_page(request):
        # The pages have words of their own for what everybody means by 404.
        return page(request, problem.status, "" if problem.code in PLAIN else problem.message)
    return problem_response(problem, dialect_of(request))


def bad_request(request: HttpRequest, exception: Any = None) -> HttpResponse:
    found = problem_from(exception, dialect_for(request.path_info)) if isinstance(exception, Exception) else None
    return _answer(request, found or Problem("malformed", 400, "The request could not be read."))


def permission_denied(request: HttpRequest, exception: Any = None) -> HttpResponse:
    return _answer(request, Problem("forbidden", 403, "Not enough permissions"))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    if wants_page(request):
        return page(request, 403, template="403_csrf.html")
    return problem_response(Problem("forbidden", 403, reason or "Not enough permissions"), dialect_of(request))


def not_found(request: HttpRequest, exception: Any = None) -> HttpResponse:
    return _answer(request, Problem("not_found", 404, "Resource not found"))


def server_error(request: HttpRequest) -> HttpResponse:
    """The last resort. Django has logged the exception.

    One that says "the database is away" (a session could not be read) is 503.
    """
    error = sys.exc_info()[1]
    found = problem_from(error, dialect_for(request.path_info)) if error is not None else None
    return _answer(request, found or internal_problem(request))
