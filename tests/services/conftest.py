"""Fixtures of the services' tests."""

import pytest

from tests.services.s3 import s3_client, s3_clients, s3_server, s3_storage  # noqa: F401 (fixtures)
from tracking.store import folding, layout


@pytest.fixture
def small_chunks(monkeypatch):
    """So few points a chunk, a group and a fold that a test's handful fills many."""
    monkeypatch.setattr(folding, "CHUNK_POINTS", 8)
    monkeypatch.setattr(folding, "GROUP_POINTS", 4)
    monkeypatch.setattr(folding, "FOLD_POINTS", 16)
    monkeypatch.setattr(folding, "SEGMENTS_A_FOLD", 3)
    monkeypatch.setattr(folding, "CHUNK_SPAN", 40)
    monkeypatch.setattr(layout, "_FEW", 2)
