"""Answers for new rows, with a loaded model."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.ensemble import RandomForestClassifier

from trainers.configs.checks import shown
from trainers.protocol import ConfigProblem, ModelProblem, Task, temperature_of
from trainers.tabular.encoder import Encoder, Matrix
from trainers.tabular.inputs import parse_rows
from trainers.tabular.kinds import Column

OF_TEXTS = ("max_length", "top_p", "seed", "stop")  # every model takes them; they mean nothing here
PARAMETERS = ("probability", "top_k", "confidence_threshold", "temperature", *OF_TEXTS)
TINY = 1e-300  # keeps the logarithm of a probability of 0 finite


@dataclass(frozen=True)
class ClassScores:
    """`values` (n, classes) sum to 1 a row where they are probabilities; else they are decision values."""

    labels: npt.NDArray[np.str_]
    values: npt.NDArray[np.float64]
    are_probabilities: bool


def class_scores(model: Any, X: Matrix, classes: Sequence[str]) -> ClassScores:
    """Predicted labels (n,), and a value for every class, in the order of `classes`.

    A calibrated SVM's label is the machine's own, as scikit-learn's SVC has always had it; near the border its
    calibrated probabilities can favour another class.
    """
    calibrated = getattr(model, "calibrated_classifiers_", None)
    are_probabilities = hasattr(model, "predict_proba")
    if isinstance(model, RandomForestClassifier):  # its labels are the likeliest: `predict` would ask all trees again
        of_known = np.asarray(model.predict_proba(X), np.float64)
        labels = model.classes_[of_known.argmax(axis=1)]
    else:
        labels = (calibrated[0].estimator if calibrated else model).predict(X)
        of_known = np.asarray((model.predict_proba if are_probabilities else model.decision_function)(X), np.float64)
    if not are_probabilities:
        if of_known.ndim == 1:
            of_known = np.column_stack((-of_known / 2, of_known / 2))
        elif of_known.shape[1] != len(model.classes_):  # one-vs-one values: count the votes
            of_known = (labels[:, None] == model.classes_[None, :]).astype(np.float64)
    known = list(model.classes_)
    if known == list(classes):
        return ClassScores(labels, of_known, are_probabilities)
    values = np.full((len(X), len(classes)), 0.0 if are_probabilities else of_known.min(initial=0.0) - 1.0)
    values[:, [list(classes).index(label) for label in known]] = of_known
    return ClassScores(labels, values, are_probabilities)


@dataclass(frozen=True)
class Asked:
    """Checked inference parameters."""

    probability: bool = False
    top_k: int | None = None
    confidence_threshold: float | None = None
    temperature: float = 1.0


class TabularPredictor:
    """Predicts for rows of a table. Labels are text, as in the training file (whole numbers without a decimal point).

    A classification's `score` is the probability of its label; of a model without probabilities (an SVM trained with
    probability=false) it is the softmax of the decision values, which is only a ranking. Below `confidence_threshold`
    the label is null and the score tells why. What a parameter asks for that the model has not (classes, of a
    regression; a length, of a table) is ignored; its value is checked all the same.
    """

    def __init__(self, task: Task, columns: list[Column], encoder: Encoder, model: Any, classes: list[str]) -> None:
        if getattr(model, "n_features_in_", None) != len(encoder.feature_names()):
            raise ModelProblem("The model and its encoder do not belong together.")
        self.task: Task = task
        self.inputs = columns
        self.columns = [column.to_json() for column in columns]
        self.encoder = encoder
        self.model = model
        self.classes = classes
        self.notes: list[str] = []  # what the last predict_input had to assume

    def predict_input(self, input_data: Any, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Predictions for CSV rows, JSON, a frame, or a Path. Raises DataProblem by row and column, ConfigProblem."""
        asked = self._check(parameters)
        self.notes = []
        return self._answer(parse_rows(input_data, self.inputs, self.notes), asked)

    def predict(
        self, rows: Sequence[Mapping[str, Any]] | pl.DataFrame, parameters: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Predictions for rows given as objects or as a frame. Raises DataProblem, ConfigProblem."""
        return self.predict_input(rows if isinstance(rows, pl.DataFrame) else list(rows), parameters)

    def _answer(self, frame: pl.DataFrame, asked: Asked) -> list[dict[str, Any]]:
        X = self.encoder.transform(frame)
        if self.task == "regression":
            return [{"value": float(value)} for value in self.model.predict(X)]
        found = class_scores(self.model, X, self.classes)
        if asked.probability and not found.are_probabilities:
            raise ConfigProblem(
                "This model was trained without probabilities. Train it with the hyperparameter probability=true.",
                details={"probability": ["the model was trained without probabilities."]},
            )
        values = _shares(found, asked.temperature)
        position = {label: i for i, label in enumerate(self.classes)}
        return [
            self._prediction(str(label), row, position[str(label)], asked)
            for label, row in zip(found.labels, values, strict=True)
        ]

    def _prediction(self, label: str, shares: npt.NDArray[np.float64], position: int, asked: Asked) -> dict[str, Any]:
        score = float(shares[position])
        unsure = asked.confidence_threshold is not None and score < asked.confidence_threshold
        prediction: dict[str, Any] = {"label": None if unsure else label, "score": score}
        if asked.probability:
            prediction["probabilities"] = {name: float(p) for name, p in zip(self.classes, shares, strict=True)}
        if asked.top_k is not None:
            best = np.argsort(-shares, kind="stable")[: asked.top_k]
            prediction["top_k"] = [{"label": self.classes[i], "score": float(shares[i])} for i in best]
        return prediction

    def _check(self, parameters: Mapping[str, Any] | None) -> Asked:
        given = dict(parameters or {})
        problems: dict[str, list[str]] = {}
        for name in given:
            if name not in PARAMETERS:
                near = difflib.get_close_matches(str(name)[:60], PARAMETERS, n=1, cutoff=0.5)
                hint = f'Did you mean "{near[0]}"?' if near else f"There are {', '.join(PARAMETERS)}."
                problems[str(name)[:60]] = [f"is no inference parameter. {hint}"]
        given = {name: value for name, value in given.items() if name in PARAMETERS and value is not None}

        def check(name: str, fits: bool, what: str) -> None:
            if not fits:
                problems[name] = [f"must be {what}; got {shown(given[name])}."]

        for name, value in given.items():
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and _is_finite(value)
            if name == "probability":
                check(name, isinstance(value, bool), "true or false")
            elif name == "top_k":
                check(name, number and isinstance(value, int) and 1 <= value <= 1_000_000, "a whole number from 1 on")
            elif name == "confidence_threshold":
                check(name, number and 0 <= value <= 1, "a number from 0 to 1")
            elif name == "temperature":
                check(name, number and 0 <= value <= 1e3, "a number from 0 to 1000")
        if problems:
            first, sentences = next(iter(problems.items()))
            raise ConfigProblem(f"{first} {sentences[0]}", details=problems)
        given["temperature"] = temperature_of(given)
        return Asked(**{name: value for name, value in given.items() if name not in OF_TEXTS})


def _is_finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


def _shares(found: ClassScores, temperature: float) -> npt.NDArray[np.float64]:
    """Values that sum to 1 a row: probabilities, or the softmax of decision values; a high temperature flattens."""
    if found.are_probabilities and temperature == 1.0:
        return found.values
    logits = np.log(np.maximum(found.values, TINY)) if found.are_probabilities else found.values
    logits = logits / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def classes_of(manifest: Mapping[str, Any], model: Any) -> list[str]:
    """The manifest's classes, checked against the model's. Raises ModelProblem."""
    classes = manifest.get("classes")
    if not isinstance(classes, list) or not all(isinstance(label, str) for label in classes):
        raise ModelProblem("The model's manifest names no classes.")
    if not set(getattr(model, "classes_", ())) <= set(classes):
        raise ModelProblem("The model's classes are not those of its manifest.")
    return classes
