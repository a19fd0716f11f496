"""Each of the twelve model types over HTTP: a job learns it from real data, and it answers what it has not seen."""

import csv
import json
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jobs.routing import QUEUES, ROUTES
from tests.conftest import wait_until
from tests.migrated import lay_migrated
from tests.outside import ROOT
from tests.recovery.test_images import done, predictions
from tests.recovery.up import START_SECONDS, Up, rows

pytestmark = [pytest.mark.recovery, pytest.mark.full]

MAILS = ROOT / "tests" / "data" / "spam" / "mails.csv"
MINILM = ROOT / ".weights" / "all-MiniLM-L6-v2"
TRAINING_SECONDS = 900.0  # of the slowest, on a machine that does other things too
DIGITS_SECONDS = 120.0  # what a ResNet may take for the digits, on two cores
HELD_BACK = 10  # every so many digits, rows and mails no model is shown


@dataclass(frozen=True)
class Classifier:
    """`kept`: what is held back, as (input of an inference, label). `least`: the accuracy that is asked for."""

    model_type: str
    data: str
    least: float
    hyperparameters: dict[str, Any] = field(default_factory=dict)


DIGITS = {"batch_size": 64}
CLASSIFIERS = [
    Classifier("resnet", "digits", 0.95, {**DIGITS, "depth": 18, "epochs": 2, "learning_rate": 0.001}),
    Classifier("vgg", "digits", 0.9, {**DIGITS, "depth": 11, "batch_norm": True, "epochs": 2, "learning_rate": 0.0005}),
    Classifier("alexnet", "digits", 0.85, {**DIGITS, "epochs": 10, "learning_rate": 0.0005}),
    Classifier("inception", "digits", 0.9, {**DIGITS, "epochs": 2, "learning_rate": 0.001}),
    Classifier("mobilenet", "digits", 0.9, {**DIGITS, "variant": "small", "epochs": 5, "learning_rate": 0.005}),
    Classifier("efficientnet", "digits", 0.9, {**DIGITS, "epochs": 4, "learning_rate": 0.003}),
    Classifier("bert", "mails.csv", 0.95, {"base_model": "minilm", "epochs": 3, "max_length": 128}),
    Classifier("random_forest", "tumours.csv", 0.93),
    Classifier("svm", "tumours.csv", 0.93),
    Classifier("logistic_regression", "tumours.csv", 0.93),
]
LANGUAGE = {"epochs": 4, "batch_size": 16, "learning_rate": 0.001, "max_length": 64, "num_layers": 2,
            "hidden_size": 128, "vocab_size": 1024}  # fmt: skip


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, migrated_cache: Path) -> Iterator[Up]:
    """A platform with a worker for each framework, and the data of all the tests."""
    data = tmp_path_factory.mktemp("types") / "data"
    data.mkdir()
    lay_migrated(data / "db.sqlite3", cache=migrated_cache)
    platform = Up(data, "--queues", "", AUTOML_TEST_TRAINERS="")
    try:
        platform.ready()
        wait_until(lambda: is_served(data / "db.sqlite3"), timeout=START_SECONDS, what="workers", told=platform.said)
        yield platform
    finally:
        platform.stop()


def is_served(database: Path) -> bool:
    """Whether each queue that asks for no GPU has a worker: their start would count as the first training's time."""
    served = {name for (names,) in rows(database, "SELECT queues FROM jobs_worker") for name in json.loads(names)}
    return served >= {name for name, queue in QUEUES.items() if not queue.gpu}


@pytest.fixture(scope="module")
def kept(up: Up) -> dict[str, list[tuple[Any, str]]]:
    """Of each data set what no model is shown: what an inference takes, and its label."""
    files = up.data / "files"
    return {
        "digits": write_digits(files),
        "mails.csv": write_mails(files),
        "tumours.csv": write_tumours(files),
    }


def write_digits(files: Path) -> list[tuple[Any, str]]:
    from sklearn.datasets import load_digits

    bunch, kept = load_digits(), []
    for number, (image, label) in enumerate(zip(bunch.images, bunch.target, strict=True)):
        held_back = number % HELD_BACK == 0
        folder = files / "unseen" if held_back else files / "digits" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15.9).astype(np.uint8)).save(folder / f"{number}.png")
        if held_back:
            kept.append((f"/data/unseen/{number}.png", str(label)))
    return kept


def write_mails(files: Path) -> list[tuple[Any, str]]:
    """Mails with their labels, and all of them as texts to learn language from."""
    with MAILS.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    with (files / "mails.csv").open("w", encoding="utf-8", newline="") as table:
        writer = csv.DictWriter(table, ["text", "label"])
        writer.writeheader()
        writer.writerows(row for number, row in enumerate(rows) if number % HELD_BACK)
    (files / "letters").mkdir()
    for number, row in enumerate(rows):
        (files / "letters" / f"{number}.txt").write_text(row["text"], encoding="utf-8")
    return [(row["text"], row["label"]) for row in rows[::HELD_BACK]]


def write_tumours(files: Path) -> list[tuple[Any, str]]:
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    names = [name.replace(" ", "_") for name in bunch.feature_names]
    kept = []
    with (files / "tumours.csv").open("w", encoding="utf-8", newline="") as table:
        writer = csv.writer(table)
        writer.writerow([*names, "diagnosis"])
        for number, (values, label) in enumerate(zip(bunch.data.tolist(), bunch.target, strict=True)):
            diagnosis = str(bunch.target_names[label])
            if number % HELD_BACK == 0:
                kept.append((dict(zip(names, values, strict=True)), diagnosis))
            else:
                writer.writerow([*values, diagnosis])
    return kept


@pytest.fixture(scope="module")
def minilm(up: Up) -> None:
    """Real weights (sentence-transformers/all-MiniLM-L6-v2) where the operator puts weights."""
    if not MINILM.exists():
        pytest.skip("no weights: run scripts/weights.sh")
    shutil.copytree(MINILM, up.data / "files" / "models" / "minilm")


def learnt(up: Up, order: dict[str, Any]) -> dict[str, Any]:
    """The result of a training job."""
    status = done(up, up.post("/jobs/training", order), timeout=TRAINING_SECONDS, pause=0.5)
    assert status["status"] == "completed", status
    assert status["progress"] == 1.0
    result: dict[str, Any] = status["result"]
    return result


@pytest.mark.parametrize("case", CLASSIFIERS, ids=lambda case: case.model_type)
def test_a_classifier_is_learnt_and_recognises_what_it_has_not_seen(
    up: Up, kept: dict[str, list[tuple[Any, str]]], request: pytest.FixtureRequest, case: Classifier
) -> None:
    if "base_model" in case.hyperparameters:
        request.getfixturevalue("minilm")
    began = time.monotonic()
    order = {"model_type": case.model_type, "data_path": f"/data/{case.data}", "hyperparameters": case.hyperparameters}
    result = learnt(up, order)
    if case.model_type == "resnet":
        assert time.monotonic() - began < DIGITS_SECONDS
    assert result["metrics"]["accuracy"] >= case.least
    given, labels = zip(*kept[case.data], strict=True)
    answers = predictions(up, result["model_id"], list(given))
    hits = [label_of(answer) == label for answer, label in zip(answers, labels, strict=True)]
    assert sum(hits) >= (case.least - 0.05) * len(labels)


def label_of(answer: Any) -> str:
    return str(answer["label"] if isinstance(answer, dict) else answer)


@pytest.mark.parametrize("model_type", ["gpt", "transformer"])
def test_a_language_model_is_less_perplexed_than_frequencies_are_and_goes_on_with_a_prompt(
    up: Up, kept: dict[str, list[tuple[Any, str]]], model_type: str
) -> None:
    result = learnt(up, {"model_type": model_type, "data_path": "/data/letters", "hyperparameters": LANGUAGE})
    folder = up.data / "files" / "models" / result["model_id"]
    assert result["metrics"]["perplexity"] < 0.8 * unigram_perplexity(folder, up.data / "files" / "letters")
    (answer,) = predictions(up, result["model_id"], "The list", max_length=20, temperature=0.8, top_k=50, top_p=0.9)
    assert answer["prompt"] == "The list"
    assert answer["text"].strip()


def unigram_perplexity(model: Path, texts: Path) -> float:
    """Of the model's tokens by their frequencies in all the texts, also those held out: e to the entropy."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokens = [token for file in texts.iterdir() for token in tokenizer.encode(file.read_text()).ids]
    shares = np.bincount(tokens) / len(tokens)
    return math.exp(-float((shares[shares > 0] * np.log(shares[shares > 0])).sum()))


def test_these_are_all_the_model_types_of_the_table() -> None:
    known = {case.model_type for case in CLASSIFIERS} | {"gpt", "transformer"}
    assert known == set(ROUTES)
