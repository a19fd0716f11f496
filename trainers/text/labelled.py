"""Finds labelled texts in what a user has: a table, a folder of tables or of class folders, a zip of either."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import polars as pl

from trainers.configs.huggingface import TransformersConfig
from trainers.deep.classes import PARTS, in_order, part_of_file, split
from trainers.protocol import DataProblem, Reporter
from trainers.text import corpus

LEAST = 2  # texts to learn from
MAX_CLASSES = 10_000
_LABEL_NAMES = (
    "label",
    "labels",
    "class",
    "category",
    "target",
    "sentiment",
    "topic",
    "intent",
    "y",
    "stars",
    "rating",
)
_PART_NAMES = ("split", "part", "subset")


@dataclass(frozen=True)
class Labelled:
    """Texts, the class of each, and the part ("train", "val", "test" or "") that the data itself puts it in."""

    texts: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    def add(self, texts: Sequence[str], labels: Sequence[str], parts: Sequence[str]) -> None:
        self.texts.extend(texts)
        self.labels.extend(labels)
        self.parts.extend(parts)


@dataclass(frozen=True)
class TextSet:
    """Labelled texts, split. The parts are places in `texts` and `labels`."""

    texts: list[str]
    names: list[str]  # the class of each text
    classes: list[str]  # in the order of the outputs
    labels: np.ndarray  # (n,) numbers of classes
    train: np.ndarray
    val: np.ndarray  # the best epoch is chosen by these
    test: np.ndarray  # scored at the end; the same as `val` where the data has no such part of its own


def prepare(config: TransformersConfig, path: Path, reporter: Reporter, *, seed: int) -> TextSet:
    """Find and split the labelled texts at `path`; what is empty is left out and counted in the log.

    Raises TrainerError.
    """
    found = find(path, reporter, text_column=config.text_column, label_column=config.label_column)
    classes = in_order(found.labels, num_classes=config.num_classes, unit="text", reporter=reporter)
    if len(classes) > MAX_CLASSES:
        raise DataProblem(
            f"The labels have {len(classes)} different values, which are no classes: set label_column to another one."
        )
    number_of = {name: number for number, name in enumerate(classes)}
    labels = np.array([number_of[label] for label in found.labels], np.int64)
    parts, places = np.array(found.parts), np.arange(len(labels))
    train, val, test = split(labels, parts, places, share=config.validation_split, seed=seed, least=LEAST, unit="text")
    reporter.log("INFO", f"{len(train)} texts to learn from, {len(val)} held out, {len(classes)} classes")
    return TextSet(found.texts, found.labels, classes, labels, train, val, test)


def find(
    path: Path, reporter: Reporter, *, text_column: str | None = None, label_column: str | None = None
) -> Labelled:
    """The labelled texts of a file or folder.

    Raises:
        DataProblem: there are none, or a table does not say which column is which.
    """
    files = list(corpus.files(path))
    tables = [(name, content) for name, content in files if corpus.is_table(name)]
    found = Labelled()
    if tables:
        for name, content in tables:
            _add_table(found, name, content, text_column, label_column, reporter)
    else:
        _add_class_folders(found, files, path.name, reporter)
    kept = [i for i, (text, label) in enumerate(zip(found.texts, found.labels, strict=True)) if text.strip() and label]
    if not kept:
        raise DataProblem(f'There are no labelled texts in "{path.name}".')
    left_out = len(found.texts) - len(kept)
    if left_out:
        reporter.log("WARN", f"{left_out} rows without a text or without a label are left out")
    return Labelled([found.texts[i] for i in kept], [found.labels[i] for i in kept], [found.parts[i] for i in kept])


def has_labels(path: Path, reporter: Reporter) -> bool:
    """Whether the data look labelled: tables with a column of a label's name, or folders of classes."""
    names = []
    for name, content in corpus.files(path):
        if corpus.is_table(name):
            table = corpus.read_table(name, content, corpus.warns(reporter))
            return any(column.lower().strip() in _LABEL_NAMES for column in table.columns)
        names.append(name)
    return len({PurePosixPath(name).parent for name in names}) > 1


def _add_table(
    found: Labelled,
    name: str,
    content: bytes,
    text_column: str | None,
    label_column: str | None,
    reporter: Reporter,
) -> None:
    table = corpus.read_table(name, content, corpus.warns(reporter))
    text, label = _columns(table, name, text_column, label_column)
    part = next((column for column in table.columns if column.lower().strip() in _PART_NAMES), None)
    if part is not None and part not in (text, label):
        parts = [PARTS.get(each.strip().lower(), "") for each in corpus.strings(table[part])]
    else:  # a file of each part: train.csv, test.csv
        parts = [part_of_file(name)] * len(table)
    found.add(corpus.strings(table[text]), [each.strip() for each in corpus.strings(table[label])], parts)


def _columns(table: pl.DataFrame, name: str, text: str | None, label: str | None) -> tuple[str, str]:
    """The columns of texts and of labels: as asked, by their names, or the two that there are."""
    columns = table.columns
    for asked in (text, label):
        if asked is not None and asked not in columns:
            raise corpus.no_column(asked, table, name)
    lower = {column.lower().strip(): column for column in reversed(columns)}
    label = label or next((lower[each] for each in _LABEL_NAMES if each in lower and lower[each] != text), None)
    if label is None and len(columns) == 2:
        text = text or corpus.find_text_column(table, name)
        label = next(column for column in columns if column != text)
    if label is None:
        raise DataProblem(
            f'Which column of "{name}" holds the labels? Set label_column to one of {", ".join(columns)}.',
            details={"columns": columns[:100]},
        )
    return text or corpus.find_text_column(table, name, but=label), label


def _add_class_folders(found: Labelled, files: Sequence[tuple[str, bytes]], what: str, reporter: Reporter) -> None:
    """`<class>/<text file>`, below a folder a part (`train/<class>/…`) or below one that wraps it all."""
    split_names = [PurePosixPath(name).parts for name, _ in files]
    while split_names and len({parts[0] for parts in split_names}) == 1 and min(map(len, split_names)) > 2:
        split_names = [parts[1:] for parts in split_names]  # the folder that was zipped
    parts_of = [PARTS.get(parts[0].lower(), "") if len(parts) > 2 else "" for parts in split_names]
    has_parts = bool(parts_of) and all(parts_of)
    classes = [parts[1] if has_parts else parts[0] for parts in split_names if len(parts) > 1]
    if not classes or len(classes) < len(files):
        raise DataProblem(
            f'There are no labelled texts in "{what}": give a CSV, JSON or Parquet file with a column of texts '
            "and one of labels, or a folder of text files for each class."
        )
    warn = corpus.warns(reporter)
    texts = [corpus.decoded(content, name, warn) for name, content in files]
    found.add(texts, classes, parts_of if has_parts else [""] * len(files))
