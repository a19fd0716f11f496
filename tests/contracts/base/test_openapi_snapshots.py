"""What a contract takes and answers changes on purpose only: its OpenAPI document is kept beside its tests."""

import json

import pytest
from django.test import Client

from api.base.dialect import dialects
from scripts.openapi import snapshot_path, snapshot_text


@pytest.mark.parametrize("name", list(dialects()))
def test_the_document_is_the_kept_one(client: Client, name: str) -> None:
    path = snapshot_path(name)
    assert path.exists(), "make openapi writes it"
    kept = json.loads(path.read_text())
    served = client.get(f"/openapi/{name}.json").json()
    assert served == kept, "the contract has changed; if that is meant: make openapi, and look at the diff"


@pytest.mark.parametrize("name", list(dialects()))
def test_the_kept_document_is_as_the_command_writes_it(name: str) -> None:
    text = snapshot_path(name).read_text()
    assert text == snapshot_text(json.loads(text))
