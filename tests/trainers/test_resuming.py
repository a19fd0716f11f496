"""A killed or stopped forest goes on where it was, and ends as if nothing had been."""

import numpy as np
import pytest

from tests.trainers.conftest import Recorder
from trainers import random_forest, registry
from trainers.protocol import Stopped

SETTINGS = {"n_estimators": 60, "random_state": 5}


def forest(folder):
    return registry.load(folder).model


@pytest.fixture(params=["wine", "diabetes"])
def table(request, tables):
    return tables[request.param]


def same(one, other) -> bool:
    return len(one.estimators_) == len(other.estimators_) and all(
        np.array_equal(a.tree_.threshold, b.tree_.threshold)
        and np.array_equal(a.tree_.value, b.tree_.value)
        and a.random_state == b.random_state
        for a, b in zip(one.estimators_, other.estimators_, strict=True)
    )


def stop_then_resume(table, tmp_path, settings=None):
    """(the recorder of the second attempt, the resumed model's folder)."""
    with pytest.raises(Stopped):
        registry.train("random_forest", SETTINGS, table, tmp_path / "a", Recorder(tmp_path / "kept", stop_after=4))
    assert not (tmp_path / "a" / "model.json").exists()
    second = Recorder(tmp_path / "kept")
    registry.train("random_forest", settings or SETTINGS, table, tmp_path / "b", second)
    return second, tmp_path / "b"


def test_a_resumed_forest_is_the_uninterrupted_one(table, tmp_path, recorder):
    registry.train("random_forest", SETTINGS, table, tmp_path / "whole", recorder)
    second, folder = stop_then_resume(table, tmp_path)
    assert "trees from the checkpoint" in second.text("INFO")
    assert same(forest(folder), forest(tmp_path / "whole"))


def test_a_forest_is_resumed_from_another_folder(tables, tmp_path, recorder):
    with pytest.raises(Stopped):
        registry.train(
            "random_forest", SETTINGS, tables["wine"], tmp_path / "a", Recorder(tmp_path / "k", stop_after=4)
        )
    registry.train("random_forest", SETTINGS, tables["wine"], tmp_path / "b", recorder, resume_from=tmp_path / "k")
    assert "trees from the checkpoint" in recorder.text("INFO")


def test_a_checkpoint_of_other_hyperparameters_is_not_used(tables, tmp_path):
    second, _ = stop_then_resume(tables["wine"], tmp_path, {**SETTINGS, "max_depth": 2})
    assert "other data or hyperparameters; growing all trees anew" in second.text("WARN")


def test_more_trees_may_be_asked_for_on_resuming(tables, tmp_path):
    second, folder = stop_then_resume(tables["wine"], tmp_path, {**SETTINGS, "n_estimators": 80})
    assert "of 80 trees from the checkpoint" in second.text("INFO")
    assert len(forest(folder).estimators_) == 80


def test_trees_are_kept_while_growing_each_in_one_part_only(tables, tmp_path, recorder, monkeypatch):
    monkeypatch.setattr(random_forest, "CHECKPOINT_EVERY", 0.0)
    monkeypatch.setattr(random_forest, "CHECKPOINT_SHARE", 1e9)
    registry.train("random_forest", SETTINGS, tables["wine"], tmp_path / "whole", recorder)
    parts = sorted(path.name for path in recorder.checkpoint().glob("trees-*.npz"))
    bounds = [tuple(int(number) for number in name[6:-4].split("-")) for name in parts]
    assert len(bounds) > 2
    assert [start for start, _ in bounds] == [0] + [end for _, end in bounds[:-1]]
    second = Recorder(recorder.checkpoint())
    registry.train("random_forest", SETTINGS, tables["wine"], tmp_path / "again", second)
    assert "resumed with 60 of 60 trees" in second.text("INFO")
    assert same(forest(tmp_path / "whole"), forest(tmp_path / "again"))


@pytest.mark.parametrize("damage", ["state", "part"])
def test_a_damaged_checkpoint_is_told_and_not_used(damage, tables, tmp_path):
    with pytest.raises(Stopped):
        registry.train(
            "random_forest", SETTINGS, tables["wine"], tmp_path / "a", Recorder(tmp_path / "k", stop_after=4)
        )
    path = tmp_path / "k" / "forest.json" if damage == "state" else next((tmp_path / "k").glob("trees-*.npz"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    second = Recorder(tmp_path / "k")
    result = registry.train("random_forest", SETTINGS, tables["wine"], tmp_path / "b", second)
    assert "growing all trees anew" in second.text("WARN")
    assert result.metrics["trees"] == 60


@pytest.mark.parametrize("model_type", ["svm", "logistic_regression"])
def test_a_trainer_without_checkpoints_stops_when_asked(model_type, tables, tmp_path):
    with pytest.raises(Stopped):
        registry.train(model_type, {}, tables["wine"], tmp_path / "m", Recorder(tmp_path / "k", stop_after=1))
    assert not (tmp_path / "m" / "model.json").exists()
