"""Checkpoints: whole or not there, without pickle, and equal to what was saved."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from trainers.deep import checkpoint, device
from trainers.protocol import ModelProblem


def test_what_is_saved_is_loaded_tensors_numbers_and_odd_keys_alike(tmp_path: Path) -> None:
    tied = torch.arange(6.0).reshape(2, 3)
    state = {
        "tensors": {"a": tied, "b": tied, "half": torch.tensor([1.5], dtype=torch.bfloat16)},
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}, 7: {"exp_avg": torch.zeros(2)}}, "groups": [(1, None)]},
        "values": [1, 2.5, "text", True, None, float("inf"), np.float32(2)],
        "array": np.arange(4, dtype=np.uint32),
    }
    checkpoint.save(tmp_path, state, step=5)
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert torch.equal(found["tensors"]["a"], tied) and torch.equal(found["tensors"]["b"], tied)
    assert found["tensors"]["half"].dtype == torch.bfloat16
    assert found["optimizer"]["groups"] == [(1, None)]
    assert found["optimizer"]["state"][0]["step"] == 3
    assert set(found["optimizer"]["state"]) == {0, 7}
    assert found["values"] == [1, 2.5, "text", True, None, float("inf"), 2.0]
    assert found["array"].dtype == np.uint32 and found["array"].tolist() == [0, 1, 2, 3]


def test_the_random_generators_go_on_where_they_were(tmp_path: Path) -> None:
    device.seed_everything(3)
    checkpoint.save(tmp_path, {"random": device.random_state()}, step=1)
    drawn = random.random(), np.random.rand(), torch.rand(2).tolist()
    found = checkpoint.newest(tmp_path)
    assert found is not None
    device.restore_random_state(found["random"])
    assert (random.random(), np.random.rand(), torch.rand(2).tolist()) == drawn


def test_only_the_newest_is_kept_and_a_draft_is_none(tmp_path: Path) -> None:
    for step in (1, 20, 3):
        checkpoint.save(tmp_path, {"step": step}, step=step)
    assert [path.name for path in tmp_path.iterdir()] == ["000000000003"]
    (tmp_path / "000000000009.tmp").mkdir()
    assert checkpoint.newest(tmp_path) == {"step": 3}


def test_there_may_be_none(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path / "missing") is None
    assert checkpoint.newest(tmp_path) is None


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b"[1, 2]", b'{"format": 1, "state": {"$tensor": "9"}}', b"\xff" * 64])
def test_a_damaged_one_is_said_to_be_damaged(tmp_path: Path, name: str, content: bytes) -> None:
    checkpoint.save(tmp_path, {"a": torch.ones(3)}, step=1)
    (tmp_path / "000000000001" / name).write_bytes(content)
    with pytest.raises(ModelProblem):
        checkpoint.newest(tmp_path)
