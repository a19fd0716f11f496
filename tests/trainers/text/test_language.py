"""Language models learn, are resumed, and go on with a text."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import datasets

from tests.trainers.conftest import Recorder
from trainers import registry
from trainers.deep import device
from trainers.protocol import ConfigProblem, DataProblem, ModelProblem, Stopped, TrainResult
from trainers.text import tokens
from trainers.text.predictor import TextGenerator
from trainers.text.prepare import prepare
from trainers.text.windows import LanguageWork, Windows

TINY: dict[str, Any] = {
    "epochs": 5,
    "batch_size": 8,
    "max_length": 32,
    "num_layers": 2,
    "hidden_size": 64,
    "num_heads": 2,
    "vocab_size": 320,
    "learning_rate": 0.006,
    "dropout_rate": 0.0,
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


def test_it_predicts_held_out_text_better_than_frequencies_do(
    trained: tuple[TrainResult, Recorder], english: Path, tmp_path: Path
) -> None:
    result, recorder = trained
    texts = prepare(
        english,
        Recorder(tmp_path),
        text_column=None,
        held_out=0.15,
        seed=0,
        length=TINY["max_length"],
        vocabulary=TINY["vocab_size"],
        tokenizer=tokens.load(result.folder),
    )
    counts = np.bincount(texts.train.tokens, minlength=texts.tokenizer.get_vocab_size()) + 1  # none is impossible
    unigram = -np.log(counts / counts.sum())[texts.held_out.tokens[1:]].mean()
    assert result.metrics["n_test"] == len(texts.held_out.tokens)
    # What it is said to score is what the saved model scores.
    saved = LanguageWork(generator(result).model, texts.train, texts.held_out)
    assert saved.evaluate(saved.model, device.choose("cpu"), 16)["val_loss"] == pytest.approx(result.metrics["loss"])
    assert result.metrics["perplexity"] < 0.85 * math.exp(unigram)
    assert result.metrics["perplexity"] == pytest.approx(math.exp(result.metrics["loss"]))
    assert {"train_loss", "val_perplexity", "sequences_per_second"} <= {
        name for _, values in recorder.points for name in values
    }
    assert [set(each) for each in result.report["generated"]] == [{"prompt", "text"}] * 3


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


def test_it_goes_on_with_the_texts_of_a_file(trained: tuple[TrainResult, Recorder], tmp_path: Path) -> None:
    predictor = generator(trained[0])
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "The data"}\n{"prompt": "A set"}\n')
    (tmp_path / "prompt.txt").write_text("The data\nset")
    answers = predictor.predict_input(tmp_path / "prompts.jsonl", {"max_length": 2})
    assert [each["prompt"] for each in answers] == ["The data", "A set"]
    assert [each["prompt"] for each in predictor.predict_input(tmp_path / "prompt.txt", {"max_length": 2})] == [
        "The data\nset"
    ]


@pytest.mark.parametrize("given", [7, [], None, [7], {"x": "y", "z": "a"}, [["a"]]])
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


@pytest.mark.full
def test_a_resumed_training_has_the_losses_of_an_uninterrupted_one(english: Path, tmp_path: Path) -> None:
    def train(recorder: Recorder, out: str) -> None:
        registry.train("transformer", {**TINY, "epochs": 2, "dropout_rate": 0.1}, english, tmp_path / out, recorder)

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


@pytest.mark.parametrize(
    "fields", [{"hidden_size": 100, "num_heads": 3}, {"hidden_size": 6 * 3, "num_heads": 6}, {"max_length": 4}]
)
def test_a_shape_that_cannot_be_is_refused(fields: dict[str, int]) -> None:
    with pytest.raises(ConfigProblem):
        registry.check_config("gpt", fields)


def test_a_model_that_cannot_fit_into_memory_is_refused_before_it_is_built(
    english: Path, recorder: Recorder, tmp_path: Path
) -> None:
    huge = {**TINY, "num_layers": 20, "hidden_size": 16_384, "num_heads": 128}
    with pytest.raises(ConfigProblem, match="GB to train"):
        registry.train("gpt", huge, english, tmp_path / "out", recorder)


def test_a_given_tokenizer_is_used(english: Path, recorder: Recorder, tmp_path: Path) -> None:
    given = tokens.make(["some other text altogether"] * 3, 270)
    given.save(str(tmp_path / "tokenizer.json"))
    fields = {**TINY, "epochs": 1, "tokenizer": str(tmp_path / "tokenizer.json")}
    result = registry.train("gpt", fields, english / "iris.txt", tmp_path / "out", recorder)
    assert tokens.load(result.folder).get_vocab() == given.get_vocab()
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ConfigProblem, match="holds no tokenizer"):
        registry.train("gpt", fields, english / "iris.txt", tmp_path / "again", recorder)


def test_too_little_text_is_said(recorder: Recorder, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Hello")
    with pytest.raises(DataProblem, match="give more text"):
        registry.train("gpt", TINY, tmp_path / "a.txt", tmp_path / "out", recorder)
