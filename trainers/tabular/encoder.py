"""Turns parsed columns into a matrix of numbers, and keeps how as plain JSON.

number    the value, its gaps filled with the training median     boolean   0 or 1, gaps as a third value
date      year, month, day, weekday, hour, days since the first   category  a column a frequent value, one for the rest
text      TF-IDF of its most telling words
Numbers and dates that had gaps in training get a column that marks them.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.feature_extraction.text import TfidfVectorizer

from trainers.protocol import ModelProblem
from trainers.tabular.kinds import Column

Matrix = npt.NDArray[np.float64]

MAX_CATEGORIES = 50  # of one column; the rest share one
MIN_CATEGORY_ROWS = 2
MAX_WORDS = 256  # of all text columns together at least 32 each
MAX_FEATURES = 5000
MAX_CELLS = 400_000_000  # of the matrix: 3.2 GB
DATE_PARTS = ("year", "month", "day", "weekday", "hour", "elapsed_days")
OTHER = "(other)"


class Encoder:
    """Fitted by `fit`; `state` is all there is to it."""

    def __init__(self, columns: list[Column], state: dict[str, dict[str, Any]], *, scaled: bool) -> None:
        self.columns = [column for column in columns if column.kind != "ignored"]
        self.state = state
        self.scaled = scaled
        self._vectorizers: dict[str, TfidfVectorizer] = {}

    @classmethod
    def fit(cls, frame: pl.DataFrame, columns: list[Column], *, scaled: bool) -> "Encoder":
        """Learn medians, categories and words from the training rows; `scaled` gives numbers mean 0, deviation 1."""
        used = [column for column in columns if column.kind != "ignored"]
        wide = sum(column.kind in ("category", "text") for column in used)
        narrow = sum(len(DATE_PARTS) + 1 if column.kind == "date" else 2 for column in used)
        room = min(MAX_FEATURES, MAX_CELLS // max(frame.height, 1)) - narrow
        a_column = max(2, min(MAX_CATEGORIES, room // max(wide, 1)))
        texts = sum(column.kind == "text" for column in used)
        words = max(2, min(max(32, MAX_WORDS // max(texts, 1)), room // max(wide, 1)))
        state = {}
        for column in used:
            series = frame[column.name]
            if column.kind == "category":
                state[column.name] = _fit_category(series, a_column)
            elif column.kind == "text":
                state[column.name] = _fit_text(series, words)
            elif column.kind == "date":
                state[column.name] = _fit_date(series, scaled=scaled)
            else:
                state[column.name] = _fit_numbers([series.to_numpy()], scaled=scaled and column.kind == "number")
        return cls(columns, state, scaled=scaled)

    def transform(self, frame: pl.DataFrame) -> Matrix:
        """(n, features) of finite float64."""
        blocks = [block for column in self.columns for block in self._blocks(frame[column.name], column)]
        matrix = np.empty((frame.height, len(blocks)), np.float64, order="F")  # filled column by column
        for i, block in enumerate(blocks):
            matrix[:, i] = block
        return matrix

    def feature_sources(self) -> list[str]:
        """The input column behind each feature of the matrix."""
        return [column.name for column in self.columns for _ in self._names(column)]

    def feature_names(self) -> list[str]:
        return [name for column in self.columns for name in self._names(column)]

    def to_json(self) -> dict[str, Any]:
        return {"scaled": self.scaled, "columns": self.state}

    @classmethod
    def from_json(cls, columns: list[Column], state: Any) -> "Encoder":
        """Raises ModelProblem unless it is what `to_json` wrote for these columns."""
        try:
            encoder = cls(columns, dict(state["columns"]), scaled=bool(state["scaled"]))
            if set(encoder.state) != {column.name for column in encoder.columns}:
                raise ValueError("columns differ")
            empty = pl.DataFrame(
                {column.name: pl.Series([None, None], dtype=DTYPES[column.kind]) for column in encoder.columns}
            )
            matrix = encoder.transform(empty)
            if matrix.shape[1] != len(encoder.feature_names()) or not np.isfinite(matrix).all():
                raise ValueError("features differ")
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise ModelProblem("The model's encoder is damaged.") from error
        return encoder

    def _names(self, column: Column) -> list[str]:
        state = self.state[column.name]
        if column.kind == "category":
            return [f"{column.name}={value}" for value in [*state["values"], OTHER, "(missing)"]]
        if column.kind == "text":
            return [f"{column.name}:{word}" for word in state["words"]]
        if column.kind == "date":
            return [f"{column.name}.{part}" for part in DATE_PARTS] + [f"{column.name}.missing"] * bool(state["gaps"])
        return [column.name] + [f"{column.name}.missing"] * bool(state["gaps"])

    def _blocks(self, series: pl.Series, column: Column) -> list[npt.NDArray[Any]]:
        state = self.state[column.name]
        if column.kind == "category":
            return _category(series, state)
        if column.kind == "text":
            return self._text(series, column.name, state)
        parts = _date_parts(series, state["first"]) if column.kind == "date" else [series.to_numpy()]
        return _numbers(parts, state)

    def _text(self, series: pl.Series, name: str, state: Mapping[str, Any]) -> list[npt.NDArray[Any]]:
        if not state["words"]:
            return []
        vectorizer = self._vectorizers.get(name)
        if vectorizer is None:
            vectorizer = self._vectorizers[name] = TfidfVectorizer(vocabulary=list(state["words"]), sublinear_tf=True)
            vectorizer.idf_ = np.asarray(state["idf"], np.float64)
        dense = vectorizer.transform(series.fill_null("").to_list()).toarray()
        return list(dense.T)


DTYPES: dict[str, pl.DataType] = {
    "number": pl.Float64(),
    "boolean": pl.Float64(),
    "date": pl.Datetime("us"),
    "category": pl.String(),
    "text": pl.String(),
}


def _fit_numbers(parts: list[npt.NDArray[np.float64]], *, scaled: bool) -> dict[str, Any]:
    fill, mean, scale = [], [], []
    for part in parts:
        known = part[~np.isnan(part)]
        fill.append(float(np.median(known)) if len(known) else 0.0)
        filled = np.where(np.isnan(part), fill[-1], part)
        spread = float(np.std(filled)) if scaled else 1.0
        mean.append(float(np.mean(filled)) if scaled else 0.0)
        # A constant part has no spread, or only that of its rounding errors; StandardScaler guards alike.
        tiny = 10 * np.finfo(np.float64).eps * max(abs(mean[-1]), np.finfo(np.float64).tiny)
        scale.append(spread if math.isfinite(spread) and spread > tiny else 1.0)
    return {"fill": fill, "mean": mean, "scale": scale, "gaps": bool(np.isnan(parts[0]).any())}


def _numbers(parts: list[npt.NDArray[np.float64]], state: Mapping[str, Any]) -> list[npt.NDArray[Any]]:
    gaps = np.isnan(parts[0])
    blocks: list[npt.NDArray[Any]] = [
        (np.where(np.isnan(part), fill, part) - mean) / scale
        for part, fill, mean, scale in zip(parts, state["fill"], state["mean"], state["scale"], strict=True)
    ]
    return [*blocks, gaps] if state["gaps"] else blocks


def _fit_date(series: pl.Series, *, scaled: bool) -> dict[str, Any]:
    first = series.dt.epoch("s").min()
    origin = int(first) if isinstance(first, int) else 0
    return {"first": origin} | _fit_numbers(_date_parts(series, origin), scaled=scaled)


def _date_parts(series: pl.Series, first: int) -> list[npt.NDArray[np.float64]]:
    """The DATE_PARTS, NaN where there is no date."""
    moment = series.dt
    elapsed = (moment.epoch("s") - first) / 86_400
    parts = [moment.year(), moment.month(), moment.day(), moment.weekday(), moment.hour(), elapsed]
    return [part.cast(pl.Float64).to_numpy() for part in parts]


def _fit_category(series: pl.Series, limit: int) -> dict[str, Any]:
    counts = series.drop_nulls().value_counts(sort=True, name="rows")
    # Ties are broken by name: the order of equal counts is not the same in every run.
    counts = counts.sort(["rows", series.name], descending=[True, False])
    frequent = counts.filter(pl.col("rows") >= MIN_CATEGORY_ROWS).head(limit) if counts.height > 2 else counts
    return {"values": frequent[series.name].to_list()}


def _category(series: pl.Series, state: Mapping[str, Any]) -> list[npt.NDArray[Any]]:
    values = state["values"]
    code = series.replace_strict(
        pl.Series(values, dtype=pl.String), pl.Series(range(len(values)), dtype=pl.Int32), default=len(values)
    ).to_numpy()
    known = series.is_not_null().to_numpy()
    code = np.where(known, code, len(values) + 1)
    return [code == i for i in range(len(values) + 2)]


def _fit_text(series: pl.Series, limit: int) -> dict[str, Any]:
    vectorizer = TfidfVectorizer(max_features=limit, min_df=2, max_df=0.95, sublinear_tf=True)
    try:
        vectorizer.fit(series.fill_null("").to_list())
    except ValueError:  # no word is in two rows
        return {"words": [], "idf": []}
    words = [str(word) for word in vectorizer.get_feature_names_out()]
    return {"words": words, "idf": [float(value) for value in vectorizer.idf_]}
