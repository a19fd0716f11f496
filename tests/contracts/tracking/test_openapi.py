"""The OpenAPI document shows every endpoint of the contract, with the contract's own examples."""

import pytest

from api.base.docs import openapi_document

ENDPOINTS = {
    "/auth/register": {"post"},
    "/auth/login": {"post"},
    "/auth/me": {"get"},
    "/projects": {"get", "post"},
    "/projects/{project_id}": {"get", "put", "patch", "delete"},
    "/runs": {"get", "post"},
    "/runs/{run_id}": {"get", "put", "patch", "delete"},
    "/metrics/{run_id}": {"get", "post"},
    "/metrics/{run_id}/batch": {"post"},
    "/metrics/{run_id}/history/{metric_name}": {"get"},
    "/metrics/{run_id}/summary": {"get"},
}


@pytest.mark.parametrize("path", ENDPOINTS)
def test_the_document_holds_every_endpoint_with_examples(path: str) -> None:
    operations = openapi_document("tracking")["paths"][path]
    assert ENDPOINTS[path] <= set(operations)
    if path.startswith("/auth"):
        return
    for method, operation in operations.items():
        if method in ("post", "put", "patch"):
            assert operation["requestBody"]["content"]["application/json"]["examples"], (method, path)
        for code, response in operation["responses"].items():
            if code.startswith("2") and code != "204":
                assert response["content"]["application/json"]["examples"], (method, path)
