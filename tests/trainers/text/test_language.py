"""Language models learn, are resumed, and go on with a text."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import datasets

from tests.trainers.conftest import Recorder
from trainers import registry
from trainers.protocol import ConfigProblem, DataProblem, ModelProblem, Stopped, TrainResult
from trainers.text import tokens
from trainers.text.predictor import TextGenerator, drawn
from trainers.text.transformer import angles, turned
from trainers.text.windows import Windows

TINY = {
    "epochs": 6,
    "batch_size": 8,
    "max_length": 64,
    "num_layers": 2,
    "hidden_size": 64,
    "num_heads": 2,
    "vocab_size": 320,
    "learning_rate": 0.003,
    "dropout_rate": 0.1,
}


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real text: what scikit-learn says of its data sets."""
    folder = tmp_path_factory.mktemp("english")
    for name in ("iris", "wine", "diabetes", "breast_cancer", "digits", "linnerud"):
        (folder / f"{name}.txt").write_text(getattr(datasets, f"load_{name}")().DESCR, encoding="utf-8")
    return folder


@pytest.fixture(scope="module", params=["gpt", "transformer"])
def trained(
    request: pytest.FixtureRequest, english: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainResult, Recorder]:
    folder = tmp_path_factory.mktemp("model")
    recorder = Recorder(folder / "checkpoint")
    return registry.train(request.param, TINY, english, folder / "out", recorder), recorder


def generator(result: TrainResult) -> TextGenerator:
    predictor = registry.load(result.folder)
    assert isinstance(predictor, TextGenerator)
    return predictor


def test_it_predicts_better_than_frequencies_do(trained: tuple[TrainResult, Recorder], english: Path) -> None:
    result, recorder = trained
    texts = [path.read_text(encoding="utf-8") for path in sorted(english.iterdir())]
    row = tokens.row_of(tokens.load(result.folder), texts)
    counts = Counter(row.tolist())
    entropy = -sum(count / len(row) * math.log(count / len(row)) for count in counts.values())
    assert result.metrics["perplexity"] < 0.8 * math.exp(entropy)
    assert result.metrics["perplexity"] == pytest.approx(math.exp(result.metrics["loss"]))
    assert {"train_loss", "val_perplexity", "sequences_per_second"} <= {
        name for _, values in recorder.points for name in values
    }


def test_it_goes_on_with_a_text(trained: tuple[TrainResult, Recorder]) -> None:
    predictor = generator(trained[0])
    (answer,) = predictor.predict_input("The data set", {"max_length": 12, "seed": 4})
    assert answer["prompt"] == "The data set"
    assert 0 < answer["tokens"] <= 12
    assert predictor.predict_input("The data set", {"max_length": 12, "seed": 4}) == [answer]
    greedy = [predictor.predict_input("The", {"max_length": 5, "temperature": 0})[0]["text"] for _ in range(2)]
    assert greedy[0] == greedy[1]
    assert len(predictor.predict_input(["a", {"text": "b"}, {"prompt": "c"}], {"max_length": 2})) == 3
    long = predictor.predict_input("word " * 400, {"max_length": 3})  # beyond the context
    assert long[0]["tokens"] <= 3


@pytest.mark.parametrize("given", [7, [], None, [7], {"x": "y"}, [["a"]]])
def test_what_is_no_text_is_refused_in_words(trained: tuple[TrainResult, Recorder], given: Any) -> None:
    with pytest.raises(DataProblem):
        generator(trained[0]).predict_input(given)


def test_a_tokenizer_that_was_exchanged_is_refused(trained: tuple[TrainResult, Recorder], tmp_path: Path) -> None:
    for path in trained[0].folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelProblem, match=r"tokenizer\.json is not the file"):
        registry.load(tmp_path)


def test_an_empty_prompt_is_gone_on_with(trained: tuple[TrainResult, Recorder]) -> None:
    assert generator(trained[0]).predict_input("", {"max_length": 3})[0]["prompt"] == ""


class Interrupted(Recorder):
    def __init__(self, folder: Path, steps: int) -> None:
        super().__init__(folder)
        self.left = steps

    def should_stop(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_a_resumed_training_has_the_losses_of_an_uninterrupted_one(english: Path, tmp_path: Path) -> None:
    def train(recorder: Recorder, out: str) -> None:
        registry.train("transformer", {**TINY, "epochs": 2}, english, tmp_path / out, recorder)

    def curve(*recorders: Recorder) -> dict[int | None, float]:
        return {
            step: values["train_loss"] for each in recorders for step, values in each.points if "train_loss" in values
        }

    whole = Recorder(tmp_path / "whole")
    train(whole, "a")
    first = Interrupted(tmp_path / "parts", 7)
    with pytest.raises(Stopped):
        train(first, "b")
    second = Recorder(tmp_path / "parts")
    train(second, "c")
    assert curve(first, second) == pytest.approx(curve(whole), abs=1e-5)


def test_every_token_is_predicted_at_least_once() -> None:
    for count in (5, 64, 65, 66, 200):
        windows = Windows(np.arange(count, dtype=np.int32), 64)
        batch = windows.batch(range(windows.count))
        assert set(batch["targets"].flatten().tolist()) == set(range(1, count))
        assert torch.equal(batch["inputs"] + 1, batch["targets"])


def test_any_text_has_tokens_and_comes_back() -> None:
    tokenizer = tokens.make(["hello world, hello again"] * 3, 300)
    for text in ("hello", "Grüße 世界 🙂\n\t ", "\x00\x07", ""):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert tokenizer.get_vocab_size() <= 300


def test_draws_are_cut_as_asked() -> None:
    logits = torch.tensor([0.0, 3.0, 2.0, 1.0])
    generator = torch.Generator().manual_seed(1)

    def seen(**asked: Any) -> set[int]:
        return {drawn(logits, asked, generator) for _ in range(300)}

    assert seen() == {0, 1, 2, 3}
    assert seen(top_k=2) == {1, 2}
    assert seen(top_p=0.5) == {1}
    assert seen(top_p=0.85) == {1, 2}
    assert seen(temperature=0) == {1}
    assert seen(temperature=0.05) == {1}


def test_turning_keeps_lengths_and_depends_on_distance_only() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 8)
    turns = angles(30, 8, torch.device("cpu"))

    def product(i: int, j: int) -> float:
        return float(turned(query, turns[i]) @ turned(key, turns[j]))

    assert float(turned(query, turns[9]).norm()) == pytest.approx(float(query.norm()), rel=1e-5)
    assert product(3, 1) == pytest.approx(product(20, 18), abs=1e-4)


@pytest.mark.parametrize(
    "fields", [{"hidden_size": 100, "num_heads": 3}, {"hidden_size": 6 * 3, "num_heads": 6}, {"max_length": 4}]
)
def test_a_shape_that_cannot_be_is_refused(fields: dict[str, int]) -> None:
    with pytest.raises(ConfigProblem):
        registry.check_config("gpt", fields)


def test_too_little_text_is_said(recorder: Recorder, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Hello")
    with pytest.raises(DataProblem, match="give more text"):
        registry.train("gpt", TINY, tmp_path / "a.txt", tmp_path / "out", recorder)
