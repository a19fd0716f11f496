"""Classifiers of texts learn, from nothing and from weights, and answer for texts in every form."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from transformers import AutoModelForSequenceClassification

from tests.trainers.conftest import Recorder
from tests.trainers.huggingface.conftest import MAILS, TINY
from trainers import registry
from trainers.protocol import ConfigProblem, DataProblem, ModelProblem, Stopped, TrainResult
from trainers.text import tokens
from trainers.text.classify import sequences


@pytest.fixture(scope="module")
def trained(few_mails: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainResult, Recorder]:
    folder = tmp_path_factory.mktemp("bert")
    recorder = Recorder(folder / "checkpoint")
    fields = {**TINY, "max_length": 24, "class_weight": "balanced", "label_smoothing": 0.05}
    return registry.train("bert", fields, few_mails, folder / "out", recorder), recorder


def test_it_trains_and_tells(trained: tuple[TrainResult, Recorder]) -> None:
    result, recorder = trained
    assert (result.task, result.framework) == ("text_classification", "pytorch")
    assert {"accuracy", "f1", "log_loss", "roc_auc", "training_time"} <= set(result.metrics)
    assert (result.metrics["n_train"], result.metrics["n_test"]) == (68, 12)
    assert result.report["confusion_matrix"]["labels"] == ["ham", "spam"]
    assert {each["label"] for each in result.report["samples"]} == {"ham", "spam"}
    assert set(result.report["samples"][0]) == {"text", "label", "predicted", "score"}
    assert "are split, and their scores averaged" in recorder.text()
    assert {"train_loss", "val_loss", "val_accuracy", "learning_rate", "sequences_per_second"} <= {
        name for _, values in recorder.points for name in values
    }
    assert recorder.fractions == sorted(recorder.fractions)


def test_it_answers_for_texts_in_every_form(trained: tuple[TrainResult, Recorder], tmp_path: Path) -> None:
    predictor = registry.load(trained[0].folder)
    (one,) = predictor.predict_input("Win money now!!!", {"probability": True, "top_k": 1})
    assert one["top_k"] == [{"label": one["label"], "score": one["score"]}]
    assert sum(one["probabilities"].values()) == pytest.approx(1)
    texts = ["Win money now!!!", "the patch is attached", ""]
    answers = predictor.predict_input(texts)
    assert answers[0] == {"label": one["label"], "score": pytest.approx(one["score"], abs=1e-5)}
    pl.DataFrame({"id": [1, 2, 3], "text": texts}).write_csv(tmp_path / "a.csv")
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    for given in ([{"text": text} for text in texts], tmp_path / "a.csv", tmp_path / "a.jsonl"):
        again = predictor.predict_input(given)
        assert [each["label"] for each in again] == [each["label"] for each in answers]


def test_temperature_and_threshold(trained: tuple[TrainResult, Recorder]) -> None:
    predictor = registry.load(trained[0].folder)
    cold, warm = (predictor.predict_input("Win money", {"temperature": t})[0]["score"] for t in (0.01, 100))
    assert warm < cold
    assert warm == pytest.approx(0.5, abs=0.05)
    assert predictor.predict_input("Win money", {"temperature": 100, "confidence_threshold": 0.9})[0]["label"] is None


def test_a_long_text_is_read_to_its_end(trained: tuple[TrainResult, Recorder]) -> None:
    """What stands beyond the longest sequence counts: no two of these texts are told alike."""
    predictor = registry.load(trained[0].folder)
    start = "the patch is attached " * 30
    scores = [predictor.predict_input(start + end, {"probability": True})[0] for end in ("", "WIN MONEY FREE " * 30)]
    assert scores[0]["probabilities"] != scores[1]["probabilities"]


@pytest.mark.parametrize("given", [7, [], None, [7], {"a": "x", "b": "y"}, [["a"]]])
def test_what_is_no_text_is_refused_in_words(trained: tuple[TrainResult, Recorder], given: Any) -> None:
    with pytest.raises(DataProblem):
        registry.load(trained[0].folder).predict_input(given)


def test_transformers_itself_reads_the_model(trained: tuple[TrainResult, Recorder]) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(trained[0].folder)
    assert model.config.id2label == {0: "ham", 1: "spam"}


def test_a_damaged_model_is_refused(trained: tuple[TrainResult, Recorder], tmp_path: Path) -> None:
    for path in trained[0].folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelProblem, match=r"config\.json is not the file"):
        registry.load(tmp_path)


def test_a_model_trained_here_is_a_base_model(
    trained: tuple[TrainResult, Recorder], few_mails: Path, recorder: Recorder, tmp_path: Path
) -> None:
    fields = {"base_model": str(trained[0].folder), "epochs": 1, "learning_rate": 1e-6, "max_length": 64}
    again = registry.train("bert", fields, few_mails, tmp_path / "out", recorder)
    assert again.metrics["log_loss"] == pytest.approx(trained[0].metrics["log_loss"], abs=0.02)
    assert "sees at most 32 tokens at once" in recorder.text()
    assert not str(json.loads((again.folder / "model.json").read_text())).count(str(trained[0].folder))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"base_model": "nowhere/at-all"}, "not in the model folder"),
        ({"base_model": "{folder}"}, "holds no whole model|holds no model"),
        ({"base_model": "nowhere", "num_layers": 2}, "is the base model's own"),
        ({"hidden_size": 32, "num_heads": 3}, "cannot be shared"),
        ({"num_layers": "2"}, "whole number"),
        ({"intermediate": 2}, "is no hyperparameter"),
        ({"max_length": 4}, "of at least 8"),
        ({"num_classes": 1}, "of at least 2"),
        ({"vocab_size": math.nan}, "whole number"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    few_mails: Path, recorder: Recorder, tmp_path: Path, fields: dict[str, Any], sentence: str
) -> None:
    named = {name: str(tmp_path) if value == "{folder}" else value for name, value in fields.items()}
    with pytest.raises(ConfigProblem, match=sentence):
        registry.train("bert", named, few_mails, tmp_path / "out", recorder)


def test_one_class_is_no_data(recorder: Recorder, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,1\nb,1\n")
    with pytest.raises(DataProblem, match="at least two classes"):
        registry.train("bert", TINY, tmp_path / "a.csv", tmp_path / "out", recorder)


def test_more_classes_than_the_data_has(few_mails: Path, recorder: Recorder, tmp_path: Path) -> None:
    result = registry.train("bert", {**TINY, "epochs": 1, "num_classes": 4}, few_mails, tmp_path / "out", recorder)
    asked = {"probability": True}
    (answer,) = registry.load(result.folder).predict_input("hello", asked)
    assert list(answer["probabilities"]) == ["ham", "spam"], "what was never seen is no answer"
    assert sum(answer["probabilities"].values()) == pytest.approx(1)


def test_every_token_of_a_text_is_read_once() -> None:
    tokenizer = tokens.make_wordpiece(["one two three four five six seven"] * 3, 300)
    texts = ["one two three four five six seven", "two", ""]
    found = sequences(tokenizer, texts, 5)
    marks = {tokenizer.token_to_id(tokens.CLS), tokenizer.token_to_id(tokens.SEP)}
    assert all(len(row) <= 5 and set(row[[0, -1]].tolist()) == marks for row in found.rows)
    for number, text in enumerate(texts):
        rows = [row for row, owner in zip(found.rows, found.text, strict=True) if owner == number]
        assert tokenizer.decode(np.concatenate(rows).tolist()) == text
    assert np.bincount(found.text, weights=found.share) == pytest.approx([1, 1, 1])


def test_a_text_without_a_token_is_a_sequence_too() -> None:
    tokenizer = tokens.make(["one two"] * 3, 300)
    found = sequences(tokenizer, ["", "one"], 8)
    assert [row.tolist() for row in found.rows][0] == [tokens.end_of_text(tokenizer)]
    assert found.share.tolist() == [1.0, 1.0]
    assert found.padded([0], 0)["attention_mask"].tolist() == [[1]]


def test_the_same_texts_make_the_same_tokenizer(few_mails: Path) -> None:
    texts = pl.read_csv(few_mails)["text"].to_list()
    made = [tokens.make_wordpiece(texts, 400) for _ in range(3)]
    assert made[0].get_vocab_size() == 400
    assert all(each.get_vocab() == made[0].get_vocab() for each in made)
    assert made[0].decode(made[0].encode("free money").ids) == "free money"


class Interrupted(Recorder):
    def __init__(self, folder: Path, steps: int) -> None:
        super().__init__(folder)
        self.left = steps

    def should_stop(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.full
def test_a_resumed_training_has_the_losses_of_an_uninterrupted_one(few_mails: Path, tmp_path: Path) -> None:
    def curve(*recorders: Recorder) -> dict[int | None, float]:
        return {
            step: values["train_loss"] for each in recorders for step, values in each.points if "train_loss" in values
        }

    whole, first, second = Recorder(tmp_path / "w"), Interrupted(tmp_path / "p", 7), Recorder(tmp_path / "p")
    registry.train("bert", TINY, few_mails, tmp_path / "a", whole)
    with pytest.raises(Stopped):
        registry.train("bert", TINY, few_mails, tmp_path / "b", first)
    registry.train("bert", TINY, few_mails, tmp_path / "c", second)
    assert len(curve(whole)) > len(curve(first)) > 3
    assert curve(first, second) == pytest.approx(curve(whole), abs=1e-5)


@pytest.mark.full
def test_bert_learns_from_nothing_with_its_own_settings(recorder: Recorder, tmp_path: Path) -> None:
    """The beginnings of 400 mails, half of them spam: who always says the same is right half of the time."""
    path = tmp_path / "mails.csv"
    pl.read_csv(MAILS).with_columns(pl.col("text").str.head(300)).write_csv(path)
    result = registry.train("bert", {"max_length": 64}, path, tmp_path / "out", recorder)
    assert result.metrics["accuracy"] >= 0.75
