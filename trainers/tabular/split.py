"""Holds rows out for scoring, in the proportions of the classes where that can be done."""

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import train_test_split

from trainers.protocol import DataProblem
from trainers.tabular.read import Note
from trainers.tabular.target import Target

Rows = npt.NDArray[np.int64]


def split(target: Target, test_size: float, seed: int, notes: list[Note]) -> tuple[Rows, Rows]:
    """Positions of the training and of the held-out rows.

    With stratification it is exactly `train_test_split(range(n), test_size=…, random_state=seed, stratify=y)`. The rows
    of a class with one member go to training. Raises DataProblem if either side would be too small.
    """
    n = len(target.y)
    positions = np.arange(n, dtype=np.int64)
    n_test = int(np.ceil(test_size * n))
    if n_test < 2 or n - n_test < 2:
        raise DataProblem(
            f"With test_size={test_size:g}, {n} rows make {n - n_test} to learn from and {n_test} to score; "
            "2 of each are needed."
        )
    if target.task == "regression":
        train, test = train_test_split(positions, test_size=test_size, random_state=seed)
        return train, test
    labels, inverse, counts = np.unique(target.y, return_inverse=True, return_counts=True)
    alone = counts[inverse] == 1
    if alone.any():
        notes.append(
            ("WARN", f"classes with one row are learnt from and not scored: {', '.join(labels[counts == 1][:10])}")
        )
    shared = positions[~alone]
    classes = int((counts > 1).sum())
    shared_test = int(np.ceil(test_size * len(shared)))
    if classes >= 1 and shared_test >= classes and len(shared) - shared_test >= classes:
        train, test = train_test_split(shared, test_size=test_size, random_state=seed, stratify=target.y[shared])
    elif len(shared) >= 4:
        notes.append(
            ("WARN", "too few rows to hold out some of every class: the rows are split without regard to classes")
        )
        train, test = train_test_split(shared, test_size=test_size, random_state=seed)
    else:
        raise DataProblem("Too few classes have two rows or more; there is nothing to learn from and score.")
    if alone.any():
        train = np.concatenate((train, positions[alone]))
    if len(np.unique(target.y[train])) < 2:
        raise DataProblem("The rows to learn from hold one class only; lower test_size or give more rows.")
    return train, test
