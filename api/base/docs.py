"""One OpenAPI document a contract, one of all of them, and two readers (Swagger UI, ReDoc) to choose among them."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RegexPattern
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import EndpointEnumerator, SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.settings import patched_settings
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.base.dialect import Dialect, Problem, dialect_for, dialects
from api.base.health import API_VERSION
from automl_site.errors import NotFound

_EXAMPLES = (
    (400, "malformed", "The request could not be read."),
    (401, "unauthenticated", "Could not validate credentials"),
    (403, "forbidden", "Not enough permissions"),
    (404, "not_found", "Resource not found"),
    (429, "rate_limited", "Too many requests; try again later."),
    (500, "internal", "Internal server error"),
)


class PlatformAuthenticationScheme(OpenApiAuthenticationExtension):
    """How the documents show `PlatformAuthentication`."""

    target_class = "api.base.authentication.PlatformAuthentication"
    name = ["bearer", "session"]

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        return [
            {"type": "http", "scheme": "bearer", "description": "A token from /auth/login, or an API key."},
            {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "A browser that has signed in."},
        ]

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[Any]]]:
        return [{name: []} for name in self.name]  # either, not both


class _Enumerator(EndpointEnumerator):
    """`/jobs/?` is `/jobs` in a document."""

    def get_path_from_regex(self, path_regex: str) -> str:
        return super().get_path_from_regex(path_regex).rstrip("/") or "/"


class _Generator(SchemaGenerator):
    endpoint_inspector_cls = _Enumerator


def _error_schema(body: Any) -> dict[str, Any]:
    """The JSON schema of an error body, from one."""
    if isinstance(body, dict):
        return {"type": "object", "properties": {key: _error_schema(value) for key, value in body.items()}}
    return {"type": "integer" if isinstance(body, int) else "string"}


def _add_errors(document: dict[str, Any], chosen: Iterable[Dialect]) -> None:
    """Every operation may answer its contract's error body."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    names = {}
    for dialect in chosen:
        names[dialect.name] = f"{dialect.title.title().replace(' ', '')}Error"
        examples = [dialect.body(Problem(code, status, text)) for status, code, text in _EXAMPLES]
        schemas[names[dialect.name]] = {**_error_schema(examples[0]), "examples": examples}
    for path, operations in document.get("paths", {}).items():
        spoken = dialect_for(path)
        if spoken is None or spoken.name not in names:
            continue
        reference = {"$ref": f"#/components/schemas/{names[spoken.name]}"}
        for operation in operations.values():
            operation["responses"]["default"] = {
                "description": "An error, in this contract's words.",
                "content": {"application/json": {"schema": reference}},
            }
            if spoken.open and {} not in operation.get("security", [{}]):
                operation["security"].append({})  # open mode


def _plain_path_parameters(document: dict[str, Any]) -> None:
    """A number in a path is an integer; the other patterns are Python's, and no document's reader knows them."""
    operations = (operation for path in document.get("paths", {}).values() for operation in path.values())
    for parameter in (parameter for operation in operations for parameter in operation.get("parameters", [])):
        pattern = parameter["schema"].pop("pattern", "") if parameter["in"] == "path" else ""
        if pattern.startswith("^[0-9]"):
            parameter["schema"] = {"type": "integer"}


def _title(dialect: Dialect | None) -> dict[str, str]:
    if dialect is None:
        return {"TITLE": "AutoML platform", "DESCRIPTION": "All five contracts in one document."}
    return {"TITLE": dialect.title, "DESCRIPTION": dialect.description}


@cache
def openapi_document(name: str | None = None) -> dict[str, Any]:
    """The OpenAPI document of a contract, or of all of them. Raises NotFound for a name that no contract has."""
    if name is not None and name not in dialects():
        raise NotFound(f"There is no document '{name[:50]}'; there are: {', '.join(dialects())}.")
    chosen = list(dialects().values()) if name is None else [dialects()[name]]
    patterns = [pattern for pattern in _contract_patterns() if _belongs(pattern, {dialect.name for dialect in chosen})]
    with patched_settings({**_title(None if name is None else chosen[0]), "VERSION": API_VERSION}):
        document = _Generator(patterns=patterns).get_schema(request=None, public=True)
    _plain_path_parameters(document)
    _add_errors(document, chosen)
    if name is None:
        document["x-documents"] = [{"name": d.name, "title": d.title, "url": document_url(d)} for d in chosen]
    return document


def _contract_patterns() -> list[URLPattern]:
    """Every route of the contracts; they all stand at the root of the URL map."""

    def walk(patterns: Iterable[URLPattern | URLResolver]) -> Iterable[URLPattern]:
        for pattern in patterns:
            if isinstance(pattern, URLPattern):
                yield pattern
            elif not str(pattern.pattern):
                yield from walk(pattern.url_patterns)

    return list(walk(get_resolver().url_patterns))


def _belongs(pattern: URLPattern, names: set[str]) -> bool:
    if not isinstance(pattern.pattern, RegexPattern):
        path = f"/{pattern.pattern}"
    else:
        path = _Enumerator(patterns=[]).get_path_from_regex(str(pattern.pattern))
    dialect = dialect_for(path.rstrip("/"))
    return dialect is not None and dialect.name in names


def document_url(dialect: Dialect) -> str:
    return f"/openapi/{dialect.name}.json"


class OpenApiView(APIView):
    """An OpenAPI document."""

    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    throttle_classes: list[Any] = []
    schema = None

    def get(self, request: Request, name: str | None = None) -> Response:
        return Response(openapi_document(name))


def swagger(request: HttpRequest) -> HttpResponse:
    """Swagger UI; `?urls.primaryName=` chooses the document, as its own menu does."""
    documents = [{"name": dialect.title, "url": document_url(dialect)} for dialect in dialects().values()]
    return render(request, "api/swagger.html", {"documents": documents})


def redoc(request: HttpRequest, name: str | None = None) -> HttpResponse:
    """ReDoc of one document, with links to the others."""
    if name is None:
        return HttpResponseRedirect(f"/redoc/{next(iter(dialects()))}")
    if name not in dialects():
        raise NotFound(f"There is no document '{name[:50]}'.")
    context = {"documents": dialects().values(), "chosen": dialects()[name], "url": document_url(dialects()[name])}
    return render(request, "api/redoc.html", context)
