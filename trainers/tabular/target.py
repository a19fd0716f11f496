"""Finds the target column and the task, and turns the target into class labels or numbers."""

import difflib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from trainers.protocol import DataProblem, Task
from trainers.tabular import values
from trainers.tabular.kinds import READABLE_SHARE
from trainers.tabular.read import Note, Table

MAX_CODES = 20  # different whole numbers that still count as classes
ROWS_A_CODE = 3  # on average, at least
MAX_CODES_IF_CLASSIFIER = 100  # the same, for a trainer that only classifies
MAX_CLASSES = 1000
MIN_ROWS = 10
IMBALANCE = 10  # the largest class over the smallest, from which the log warns
CLASSES_NAMED = 10


@dataclass(frozen=True)
class Target:
    """`y` (n,): class labels as text, or float64 numbers. `table` holds only the rows that have a target."""

    name: str
    task: Task
    y: npt.NDArray[np.str_] | npt.NDArray[np.float64]
    table: Table
    classes: list[str]  # sorted; empty for a regression


def find_target(table: Table, asked: str | None, task: str, notes: list[Note], *, classifier_only: bool) -> Target:
    """The target column and the task. Raises DataProblem; says what it chose, and why, in `notes`."""
    name = _column(table, asked, notes)
    cells = table.frame[name]
    numbers = _numbers(cells)
    task_found, why = _task(cells, numbers, task, name, classifier_only=classifier_only)
    notes.append(("INFO", f'task: {task_found} ({why}); target "{name}"'))
    if task_found == "regression":
        known = numbers.is_finite().fill_null(False).to_numpy()
    else:
        known = values.as_text(cells, values.MISSING_TARGET).is_not_null().to_numpy()
    missing = np.flatnonzero(~known)
    if len(missing):
        notes.append(
            (
                "WARN",
                f'the target "{name}" is missing or unreadable in {table.rows_text(missing)}: '
                f"{len(missing)} of {len(known)} rows are left out",
            )
        )
    if known.sum() < MIN_ROWS:
        raise DataProblem(
            f'{int(known.sum())} rows have a value of the target "{name}"; at least {MIN_ROWS} are needed.',
            details={"column": name, "rows": table.row_numbers(missing)},
        )
    kept = table.keep(known)
    if task_found == "regression":
        return _regression(name, numbers.filter(pl.Series(known)), kept)
    return _classification(name, kept, notes)


def _column(table: Table, asked: str | None, notes: list[Note]) -> str:
    names = table.frame.columns
    if len(names) < 2:
        raise DataProblem(
            f'There is one column, "{names[0]}"; a target and at least one column to learn from are needed.',
            details={"column": names[0]},
        )
    if asked is None:
        notes.append(
            ("INFO", f'target column: "{names[-1]}", the last one (name another by the hyperparameter target)')
        )
        return names[-1]
    wanted = " ".join(asked.split())
    if wanted in names:
        return wanted
    folded = {name.lower(): name for name in reversed(names)}
    if wanted.lower() in folded:
        return folded[wanted.lower()]
    near = difflib.get_close_matches(wanted[:100].lower(), folded, n=3, cutoff=0.5)
    hint = " or ".join(f'"{folded[match]}"' for match in near)
    listed = ", ".join(f'"{name}"' for name in names[:20])
    raise DataProblem(
        f'There is no column "{wanted[:100]}". ' + (f"Did you mean {hint}?" if near else f"The columns are {listed}."),
        details={"column": wanted[:100], "nearest": [folded[match] for match in near]},
    )


def _numbers(cells: pl.Series) -> pl.Series:
    """The target as Float64; null where it is missing or no number."""
    if cells.dtype.is_numeric():
        return cells.cast(pl.Float64).fill_nan(None)
    text = values.as_text(cells)
    plain = values.numbers(text)
    style, _ = values.number_style(text, plain)
    return plain if style == "plain" else values.numbers(text, style)


def _task(cells: pl.Series, numbers: pl.Series, asked: str, name: str, *, classifier_only: bool) -> tuple[Task, str]:
    present = len(values.as_text(cells, values.MISSING_TARGET).drop_nulls())
    finite = numbers.filter(numbers.is_finite().fill_null(False))
    numeric = present > 0 and len(finite) >= READABLE_SHARE * present
    distinct = finite.n_unique()
    whole = bool((finite == finite.round()).all())
    if asked == "regression":
        if not numeric:
            position = int(np.flatnonzero((numbers.is_null() & cells.is_not_null()).to_numpy())[0])
            raise DataProblem(
                f'A regression needs numbers: the target "{name}" has "{str(cells[position])[:50]}".',
                details={"column": name},
            )
        return "regression", "as asked for"
    if asked == "classification":
        return "classification", "as asked for"
    if not numeric:
        return "classification", "its values are no numbers"
    limit = MAX_CODES_IF_CLASSIFIER if classifier_only else MAX_CODES
    if whole and (distinct <= 2 or (distinct <= limit and len(finite) >= ROWS_A_CODE * distinct)):
        return (
            "classification",
            f"its values are {distinct} different whole numbers; up to {limit}, each in {ROWS_A_CODE} rows on average, "
            "count as classes",
        )
    if classifier_only:
        raise DataProblem(
            f'The target "{name}" is a number with {distinct} different values, and logistic_regression predicts '
            "classes only. Use random_forest or svm, which predict numbers too.",
            details={"column": name, "use": ["random_forest", "svm"]},
        )
    kind = "whole numbers" if whole else "numbers with decimals"
    return "regression", f"its values are {distinct} different {kind}"


def _regression(name: str, numbers: pl.Series, table: Table) -> Target:
    y = numbers.to_numpy().astype(np.float64)
    huge = np.flatnonzero(np.abs(y) > values.LARGEST)
    if len(huge):
        raise DataProblem(
            f'The target "{name}" is beyond ±{values.LARGEST:g} in {table.rows_text(huge)}.',
            details={"column": name, "rows": table.row_numbers(huge)},
        )
    if y.min() == y.max():
        raise DataProblem(
            f'The target "{name}" is {values.label_of_number(float(y[0]))} in every row; there is nothing to learn.',
            details={"column": name},
        )
    return Target(name, "regression", y, table, [])


def _classification(name: str, table: Table, notes: list[Note]) -> Target:
    cells = table.frame[name]
    if cells.dtype.is_numeric() or _plain_whole_numbers(cells):
        numbers = cells.cast(pl.Float64)
        labels = {value: values.label_of_number(value) for value in numbers.unique().to_list()}
        y = np.array([labels[value] for value in numbers.to_list()])
    else:
        y = values.as_text(cells, values.MISSING_TARGET).to_numpy().astype(str)
    classes, counts = np.unique(y, return_counts=True)
    if len(classes) < 2:
        raise DataProblem(
            f'The target "{name}" has one class, "{classes[0]}"; there is nothing to tell apart.',
            details={"column": name},
        )
    if len(classes) > MAX_CLASSES or len(classes) > len(y) / 2:
        raise DataProblem(
            f'The target "{name}" has {len(classes)} different values in {len(y)} rows: too many to be classes. '
            "Is another column the target, or is the task a regression?",
            details={"column": name},
        )
    order = np.argsort(-counts, kind="stable")
    listed = ", ".join(f"{classes[i]}: {counts[i]}" for i in order[:CLASSES_NAMED])
    listed += ", …" if len(classes) > CLASSES_NAMED else ""
    unbalanced = counts.max() >= IMBALANCE * counts.min()
    level = "WARN" if unbalanced else "INFO"
    notes.append((level, f"{'unbalanced ' if unbalanced else ''}classes ({len(classes)}): {listed}"))
    return Target(name, "classification", y, table, _sorted(classes))


def _plain_whole_numbers(cells: pl.Series) -> bool:
    """Text such as 1, 1.0 and 2, whose spellings are to be one class; codes such as 007 are left as they are."""
    numbers = cells.str.strip_chars().cast(pl.Float64, strict=False)
    whole = numbers.is_finite().fill_null(False) & (numbers == numbers.round()).fill_null(False)
    return bool(whole.all()) and not bool(cells.str.contains(r"^\s*0\d").any())


def _sorted(classes: npt.NDArray[np.str_]) -> list[str]:
    return [str(label) for label in classes]  # np.unique sorts as scikit-learn's classes_ do
