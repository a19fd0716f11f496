"""Any architecture of transformers: looked up by its name, set by its own fields, trained for what the data holds."""

import difflib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import in_brief
from tests.trainers.conftest import Recorder
from tests.trainers.huggingface.conftest import TINY
from tests.trainers.vision.conftest import KINDS, picture, png
from trainers import registry
from trainers.deep import memory
from trainers.huggingface import architectures
from trainers.protocol import ConfigProblem, DataProblem, TrainResult


def train(
    model_type: str, data: Path, recorder: Recorder, out: Path, base: dict[str, Any] = TINY, **fields: Any
) -> TrainResult:
    return registry.train(model_type, {**base, "epochs": 1, **fields}, data, out, recorder)


@pytest.fixture(scope="module")
def prose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sklearn import datasets

    path = tmp_path_factory.mktemp("prose") / "wine.txt"
    path.write_text(datasets.load_wine().DESCR, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shapes")
    for kind in KINDS:
        (root / kind).mkdir()
        for number in range(12):
            (root / kind / f"{number}.png").write_bytes(png(picture(kind, number)))
    return root


# --- Names and fields ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "nearest"), [("distillbert", "distilbert"), ("robert", "roberta"), ("gpt22", "gpt2")])
def test_a_name_that_nobody_knows_is_refused_with_the_nearest(
    few_mails: Path, recorder: Recorder, tmp_path: Path, name: str, nearest: str
) -> None:
    with pytest.raises(ConfigProblem, match=f"Did you mean .*{nearest}"):
        train(name, few_mails, recorder, tmp_path / "out")


def test_an_architecture_for_something_else_is_refused(few_mails: Path, recorder: Recorder, tmp_path: Path) -> None:
    with pytest.raises(ConfigProblem, match='"encodec" is an architecture for neither text nor images'):
        train("encodec", few_mails, recorder, tmp_path / "out")


@pytest.mark.parametrize("name", ["a b", "../x", "a\0b", "", "🙂", "x" * 101, "-rf", 5, None])
def test_what_can_be_no_name_is_refused_at_once(name: Any) -> None:
    with pytest.raises(registry.UnknownTrainer):
        registry.check_config(name, {})


def test_one_of_our_own_names_but_for_a_letter_is_refused_at_once() -> None:
    with pytest.raises(registry.UnknownTrainer, match="random_forest"):
        registry.check_config("random_forst", {})
    near = [
        name
        for name in set(architectures.CONFIG_MAPPING_NAMES) - set(registry.TRAINERS)
        if difflib.get_close_matches(name.lower(), registry.TRAINERS, n=1, cutoff=registry.MISSPELT)
    ]
    assert not near, "an architecture's name is taken for a slip of the pen"


def test_fields_of_the_family_are_checked_before_the_architecture_is_known() -> None:
    with pytest.raises(ConfigProblem, match="must be a whole number"):
        registry.check_config("nobody-knows", {"epochs": "many"})
    assert registry.check_config("nobody-knows", {"own": 3}).own_fields() == {"own": 3}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"n_layer": 3}, 'n_layer is no hyperparameter of distilbert. Did you mean "n_layers"'),
        ({"auto_map": {"a": "b"}}, "auto_map is no hyperparameter"),
        ({"attn_implementation": "somebody/kernel"}, "attn_implementation is no hyperparameter"),
        ({"activation": 7}, "distilbert does not work with these settings"),
        ({"dropout": "x" * 5000}, "distilbert does not work with these settings"),
        ({"n_heads": 5, "num_heads": None}, "distilbert does not work with these settings"),
        ({"hidden_size": 16_384, "num_layers": 20, "num_heads": 256}, "GB to train"),
        ({"task": "image_classification"}, "can only learn text_classification, language_modelling"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_words(
    few_mails: Path, recorder: Recorder, tmp_path: Path, fields: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigProblem, match=sentence):
        train("distilbert", few_mails, recorder, tmp_path / "out", **fields)


def test_a_model_that_does_not_fit_into_memory_is_refused_before_it_is_built(
    few_mails: Path, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "memory_bytes", lambda compute: 64 * 10**9)
    base = {"max_length": 32, "vocab_size": 400}
    with pytest.raises(ConfigProblem, match="llama with these settings has .* Set a smaller hidden_size"):
        train("llama", few_mails, recorder, tmp_path / "out", base)


# --- Tasks -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name",
    in_brief(["distilbert", "roberta", "gpt2", "llama", "electra", "albert", "deberta-v2", "bart"], "distilbert"),
)
def test_labelled_texts_are_classified(few_mails: Path, recorder: Recorder, tmp_path: Path, name: str) -> None:
    result = train(name, few_mails, recorder, tmp_path / "out")
    assert result.task == "text_classification"
    answers = registry.load(result.folder).predict_input(["Win money", "the patch"], {"top_k": 2})
    assert all(len(answer["top_k"]) == 2 for answer in answers)
    assert json.loads((result.folder / "model.json").read_text())["model_type"] == name


def test_own_fields_make_the_architecture(few_mails: Path, recorder: Recorder, tmp_path: Path) -> None:
    base = {"max_length": 32, "vocab_size": 400}
    own = {"dim": 32, "n_heads": 4, "n_layers": 1, "hidden_dim": 48, "seq_classif_dropout": 0.5}
    result = train("distilbert", few_mails, recorder, tmp_path / "out", base, **own)
    kept = json.loads((result.folder / "config.json").read_text())
    assert {name: kept[name] for name in own} == own


@pytest.mark.parametrize("name", in_brief(["gpt2", "llama", "mistral", "opt", "bloom"], "gpt2"))
def test_text_alone_is_learnt_as_language(
    prose: Path, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    result = train(name, prose, recorder, tmp_path / "out", batch_size=4)
    assert (result.task, result.target) == ("language_modelling", "next token")
    assert result.metrics["perplexity"] < 400
    predictor = registry.load(result.folder)
    asked = {"max_length": 5, "seed": 3}
    answers = predictor.predict_input(["The wine", "A"], asked)
    assert [set(each) for each in answers] == [{"prompt", "text", "tokens", "finish"}] * 2
    assert answers == predictor.predict_input(["The wine", "A"], asked)
    with monkeypatch.context() as patch:
        seen: list[list[int]] = []
        go_on = predictor._go_on
        patch.setattr(predictor, "_go_on", lambda rows, *rest: seen.extend(rows) or go_on(rows, *rest))
        assert predictor.predict_input("word " * 200, {"max_length": 500})[0]["tokens"] <= 16
        assert [len(row) for row in seen] == [16], "half of what the model sees is of the prompt"


@pytest.mark.parametrize("name", in_brief(["distilbert", "roberta", "bert-generation"], "distilbert"))
def test_encoders_learn_hidden_tokens(prose: Path, recorder: Recorder, tmp_path: Path, name: str) -> None:
    if name == "bert-generation":
        assert architectures.language_head(name) == "causal"
        return
    result = train(name, prose, recorder, tmp_path / "out")
    assert (result.task, result.target) == ("masked_language_modelling", "masked token")
    predictor = registry.load(result.folder)
    (answer,) = predictor.predict_input("The [MASK] of a [MASK].", {"top_k": 3})
    assert [len(fills) for fills in answer["fills"]] == [3, 3]
    assert "[MASK]" not in answer["text"]
    with pytest.raises(DataProblem, match=r"has no \[MASK\]"):
        predictor.predict_input("The wine")


@pytest.mark.parametrize("name", in_brief(["vit", "convnext", "swin", "mobilenet_v2"], "vit"))
def test_images_are_classified(shapes: Path, recorder: Recorder, tmp_path: Path, name: str) -> None:
    own: dict[str, Any] = {
        "vit": {"num_layers": 1, "hidden_size": 32, "num_heads": 2, "patch_size": 8},
        "convnext": {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 8, 8]},
        "swin": {"depths": [1, 1, 1, 1], "embed_dim": 12, "patch_size": 2, "window_size": 2},
        "mobilenet_v2": {"depth_multiplier": 0.25},
    }[name]
    result = train(name, shapes, recorder, tmp_path / "out", {"batch_size": 8, "num_classes": 4}, **own)
    assert result.task == "image_classification"
    assert len(result.report["samples"]) > 0
    (answer,) = registry.load(result.folder).predict_input(shapes / KINDS[0] / "0.png", {"top_k": 4})
    assert {each["label"] for each in answer["top_k"]} == set(KINDS), "outputs that were never seen are no answers"


@pytest.mark.parametrize("patch_size", [600, 10**9])
def test_patches_larger_than_any_image_are_refused_in_words(
    shapes: Path, recorder: Recorder, tmp_path: Path, patch_size: int
) -> None:
    fields = {"batch_size": 8, "patch_size": patch_size, "image_size": 700}
    with pytest.raises(ConfigProblem, match="image_size must be a whole number"):
        train("vit", shapes, recorder, tmp_path / "out", {}, **fields)


def test_a_base_model_of_another_architecture_is_told(prose: Path, recorder: Recorder, tmp_path: Path) -> None:
    first = train("gpt2", prose, recorder, tmp_path / "first")
    with pytest.raises(ConfigProblem, match='is a gpt2, not a llama: use it as model_type "gpt2"'):
        train("llama", prose, recorder, tmp_path / "out", {"base_model": str(first.folder)})
    again = train("gpt2", prose, recorder, tmp_path / "again", {"base_model": str(first.folder), "max_length": 16})
    assert again.metrics["perplexity"] < first.metrics["perplexity"]
