"""Classes in an order that stays, and parts of the data that none of the others has seen."""

import numpy as np
import pytest

from tests.trainers.conftest import Recorder
from trainers.deep.classes import class_weights, in_order, part_of_file, split
from trainers.protocol import ConfigProblem, DataProblem

LABELS = np.array([0] * 8 + [1] * 4)


def parts(**counts: int) -> np.ndarray:
    """The parts of twelve examples, in the order of the keyword arguments."""
    named = [name for name, count in counts.items() for _ in range(count)]
    return np.array(named + [""] * (12 - len(named)))


def halves(marked: np.ndarray, share: float = 0.25) -> tuple[list[int], list[int], list[int]]:
    found = split(LABELS, marked, np.arange(12), share=share, seed=1, least=2, unit="image")
    train, val, test = (each.tolist() for each in found)
    assert not set(train) & {*val, *test}
    return train, val, test


def test_unmarked_data_is_drawn_from_class_by_class() -> None:
    train, val, test = halves(parts())
    assert val == test
    assert np.bincount(LABELS[val]).tolist() == [2, 1]
    assert sorted(train + val) == list(range(12))
    assert halves(parts()) == (train, val, test), "the same seed, the same draw"


def test_a_test_part_chooses_no_epoch() -> None:
    train, val, test = halves(parts(test=3))
    assert test == [0, 1, 2]
    assert val and not set(val) & set(test)


def test_the_datas_own_parts_are_taken_and_the_unmarked_is_learnt_from() -> None:
    assert halves(parts(train=6, val=2, test=2)) == ([0, 1, 2, 3, 4, 5, 10, 11], [6, 7], [8, 9])
    assert halves(parts(val=3)) == (list(range(3, 12)), [0, 1, 2], [0, 1, 2])


def test_data_that_is_all_test_is_drawn_from() -> None:
    train, val, test = halves(parts(test=12))
    assert len(train) == 9 and val == test


def test_one_of_each_class_and_a_test_part_are_enough() -> None:
    labels, marked = np.array([0, 1, 0]), np.array(["train", "train", "test"])
    train, val, test = split(labels, marked, np.arange(3), share=0.5, seed=0, least=2, unit="image")
    assert (train.tolist(), val.tolist(), test.tolist()) == ([0, 1], [2], [2])


def test_one_of_each_class_alone_is_too_little() -> None:
    with pytest.raises(DataProblem, match="2 images are too few"):
        split(np.array([0, 1]), np.array(["", ""]), np.arange(2), share=0.5, seed=0, least=2, unit="image")


def test_numbers_are_ordered_as_numbers_and_names_by_the_alphabet(recorder: Recorder) -> None:
    def order(*labels: str) -> list[str]:
        return in_order(labels, num_classes=None, unit="image", reporter=recorder)

    assert order("10", "9", "9", "10") == ["9", "10"]
    assert order("b", "10", "a") == ["10", "a", "b"]
    assert order("1" * 5000, "2") == ["1" * 5000, "2"]
    assert "with one image only" in recorder.text("WARN")


def test_classes_that_cannot_be_told_apart_are_refused(recorder: Recorder) -> None:
    for labels, num_classes, problem in (
        ([], None, DataProblem),
        (["a", "a"], None, DataProblem),
        (["a", "b", "c"], 2, ConfigProblem),
    ):
        with pytest.raises(problem):
            in_order(labels, num_classes=num_classes, unit="image", reporter=recorder)


def test_each_class_weighs_the_same_and_an_unseen_one_nothing() -> None:
    weights = class_weights(LABELS, 3)
    assert (weights[LABELS][LABELS == 0].sum(), weights[LABELS][LABELS == 1].sum(), weights[2]) == (6, 6, 0)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train.csv", "train"),
        ("a/Validation-00000-of-00001.parquet", "val"),
        ("test_1.jsonl", "test"),
        ("trainers.csv", ""),
        ("test/a.csv", ""),
        ("", ""),
    ],
)
def test_the_beginning_of_a_files_name_says_its_part(name: str, part: str) -> None:
    assert part_of_file(name) == part
