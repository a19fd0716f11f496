"""A saved model: how it is asked, what it answers, and what happens to one that was touched."""

import io
import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import examples
from tests.trainers.conftest import Recorder
from trainers import registry
from trainers.files import write_json_atomically
from trainers.protocol import ConfigProblem, DataProblem, ModelProblem, TrainerError
from trainers.tabular.inputs import parse_rows
from trainers.tabular.kinds import Column

COLUMNS = [
    Column("length", "number", examples=["5.1"]),
    Column("width", "number", style="decimal_comma", missing=True, examples=["3,5"]),
    Column("row", "ignored", reason="it numbers the rows"),
    Column("colour", "category", examples=["red"]),
    Column("sold", "boolean", missing=True, examples=["yes"]),
    Column("day", "date", date_format="%d.%m.%Y", missing=True, examples=["31.12.2024"]),
    Column("remark", "text", missing=True),
]


@pytest.fixture(scope="module")
def iris(tmp_path_factory) -> dict[str, Path]:
    """Folders of models trained on four numbers and a name, and the file."""
    from sklearn.datasets import load_iris

    folder = tmp_path_factory.mktemp("iris")
    bunch = load_iris()
    names = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    frame = pl.DataFrame({name: bunch.data[:, i] for i, name in enumerate(names)})
    frame.with_columns(species=bunch.target_names[bunch.target]).write_csv(folder / "iris.csv")
    frame.write_csv(folder / "number.csv")
    made = {"file": folder / "iris.csv"}
    for name, model_type, file, config in (
        ("random_forest", "random_forest", "iris.csv", {"n_estimators": 20}),
        ("svm", "svm", "iris.csv", {}),
        ("svm_plain", "svm", "iris.csv", {"probability": False}),
        ("logistic_regression", "logistic_regression", "iris.csv", {}),
        ("regression", "random_forest", "number.csv", {"n_estimators": 20, "task": "regression"}),
    ):
        made[name] = folder / name
        registry.train(model_type, config, folder / file, made[name], Recorder(folder / f"checkpoint-{name}"))
    return made


SETOSA = [
    "5.1,3.5,1.4,0.2",
    "5.1;3.5;1.4;0.2",
    "sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,0.2",
    "petal_width,petal_length,sepal_width,Sepal_Length,remark\n0.2,1.4,3.5,5.1,nice\n",
    "[5.1, 3.5, 1.4, 0.2]",
    "[[5.1, 3.5, 1.4, 0.2]]",
    '{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": "0.2", "species": "?"}',
    '[{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}]',
    [5.1, 3.5, 1.4, 0.2],
    [[5.1, 3.5, 1.4, 0.2]],
    ["5.1,3.5,1.4,0.2"],
    {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2},
    pl.DataFrame({"sepal_length": [5.1], "sepal_width": [3.5], "petal_length": [1.4], "petal_width": [0.2]}),
]


@pytest.mark.parametrize("given_input", SETOSA, ids=lambda value: str(value)[:30].replace("\n", "/"))
def test_a_row_is_understood_in_every_form(given_input, iris):
    answers = registry.load(iris["random_forest"]).predict_input(given_input)
    assert [answer["label"] for answer in answers] == ["setosa"] * len(answers)
    assert 0.9 < answers[0]["score"] <= 1


def test_many_rows_give_as_many_answers_in_their_order(iris):
    text = "5.1,3.5,1.4,0.2\n\n6.7,3.0,5.2,2.3\n5.9,2.8,4.2,1.3\n"
    answers = registry.load(iris["logistic_regression"]).predict_input(text)
    assert [answer["label"] for answer in answers] == ["setosa", "virginica", "versicolor"]
    assert len(registry.load(iris["svm"]).predict_input(iris["file"])) == 150


@pytest.mark.parametrize("model", ["random_forest", "svm", "logistic_regression"])
def test_probabilities_are_of_every_class_and_sum_to_one(model, iris):
    predictor = registry.load(iris[model])
    answer = predictor.predict_input("6.0,2.9,4.6,1.5", {"probability": True, "top_k": 2, "max_length": 100})[0]
    assert set(answer["probabilities"]) == {"setosa", "versicolor", "virginica"}
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert answer["score"] == answer["probabilities"][answer["label"]]
    best = sorted(answer["probabilities"].items(), key=lambda item: -item[1])[:2]
    assert answer["top_k"] == [{"label": label, "score": score} for label, score in best]


def test_a_regression_answers_numbers(iris):
    answers = registry.load(iris["regression"]).predict_input("5.1,3.5,1.4\n6.7,3.0,5.2")
    assert [set(answer) for answer in answers] == [{"value"}, {"value"}]
    assert answers[0]["value"] == pytest.approx(0.2, abs=0.1)


@pytest.mark.parametrize(
    "parameters",
    [
        {"probability": True},
        {"top_k": 3},
        {"confidence_threshold": 0.9},
        {"temperature": 2.5},
        {"max_length": 100, "top_p": 0.5, "seed": 1, "stop": "x"},
        {"probability": True, "top_k": 3, "confidence_threshold": 0.9, "temperature": 2.5, "max_length": 100},
    ],
)
def test_a_regression_ignores_what_only_classes_have(parameters, iris):
    predictor = registry.load(iris["regression"])
    assert predictor.predict_input("5.1,3.5,1.4", parameters) == predictor.predict_input("5.1,3.5,1.4")


def test_a_high_temperature_flattens_and_a_threshold_withholds_the_label(iris):
    predictor = registry.load(iris["logistic_regression"])
    row = "6.3,2.8,5.1,1.5"
    plain, flat = (predictor.predict_input(row, {"temperature": t})[0] for t in (1.0, 50.0))
    assert flat["label"] == plain["label"]
    assert 1 / 3 <= flat["score"] < plain["score"]
    sharp = predictor.predict_input(row, {"temperature": 0, "top_p": 0.5, "seed": 1})[0]
    assert sharp == {"label": plain["label"], "score": pytest.approx(1)}
    withheld = predictor.predict_input(row, {"confidence_threshold": 0.999})[0]
    assert withheld == {"label": None, "score": plain["score"]}


@pytest.mark.parametrize(
    ("model", "parameters", "field", "words"),
    [
        ("random_forest", {"probabilty": True}, "probabilty", 'Did you mean "probability"?'),
        ("random_forest", {"probability": "yes"}, "probability", "true or false"),
        ("random_forest", {"top_k": 0}, "top_k", "a whole number from 1 on"),
        ("random_forest", {"top_k": True}, "top_k", "got true"),
        ("random_forest", {"temperature": -1}, "temperature", "from 0 to 1000"),
        ("random_forest", {"temperature": float("nan")}, "temperature", "got NaN"),
        ("random_forest", {"temperature": 10**400}, "temperature", "more than 400 digits"),
        ("random_forest", {"confidence_threshold": 1.5}, "confidence_threshold", "from 0 to 1"),
        ("regression", {"probabilty": True}, "probabilty", 'Did you mean "probability"?'),
        ("regression", {"top_k": 0}, "top_k", "a whole number from 1 on"),
        ("regression", {"temperature": "hot"}, "temperature", "from 0 to 1000"),
        ("svm_plain", {"probability": True}, "probability", "trained without probabilities"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(model, parameters, field, words, iris):
    row = "5.1,3.5,1.4" if model == "regression" else "5.1,3.5,1.4,0.2"
    with pytest.raises(ConfigProblem) as caught:
        registry.load(iris[model]).predict_input(row, parameters)
    assert words in " ".join(caught.value.details[field])


def test_a_model_without_probabilities_still_ranks_its_classes(iris):
    answer = registry.load(iris["svm_plain"]).predict_input("5.1,3.5,1.4,0.2", {"top_k": 3})[0]
    assert answer["label"] == answer["top_k"][0]["label"] == "setosa"
    assert sum(item["score"] for item in answer["top_k"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("given_input", "words"),
    [
        ("5.1,3.5,1.4", "Row 1 has 3 values; the model takes 4: sepal_length, sepal_width, petal_length, petal_width"),
        ("5.1,3.5,1.4,0.2\n1,2,3,4,5", "Row 2 has 5 values"),
        ("5.1,3.5,abc,0.2", 'Row 1, column "petal_length": "abc" is not a number, such as 1.4'),
        ("5.1,3.5,1.4,0.2\n5.1,3.5,inf,0.2", 'Row 2, column "petal_length": "inf" is not a number'),
        ("sepal_length,sepal_width,petal_length\n1,2,3", 'The column "petal_width" is not given'),
        ("sepal_length,sepal_width,petal_length,petal_width", "a header line with no row"),
        ("feature1,feature2,feature3,feature4", 'column "sepal_length": "feature1" is not a number'),
        ("", "is empty"),
        ("[]", "empty list"),
        ("{}", "None of the input's names"),
        ('{"a": 1}', "None of the input's names is one of the model's"),
        ("[1, 2", "cannot be read as such"),
        ("[" * 100_000, "cannot be read as such"),
        ('[{"sepal_length": [1]}]', 'Row 1, column "sepal_length": a list is no plain value'),
        ([[1, 2, 3, 4], {"a": 1}], "Row 1 is not an object"),
        (5, "The input is a int"),
        (None, "The input is a NoneType"),
    ],
)
def test_input_that_cannot_be_used_is_told_by_row_and_column(given_input, words, iris):
    with pytest.raises(DataProblem) as caught:
        registry.load(iris["random_forest"]).predict_input(given_input)
    assert words in caught.value.message


def test_every_kind_of_column_is_read_as_in_training():
    frame = parse_rows("5.1;3,5;7;red;Yes;31.12.2024;fine thing", COLUMNS)
    assert frame.columns == ["length", "width", "colour", "sold", "day", "remark"]
    assert frame.row(0)[:4] == (5.1, 3.5, "red", 1.0)
    assert frame["day"][0].isoformat() == "2024-12-31T00:00:00"
    notes: list[str] = []
    frame = parse_rows({"length": 1, "width": 2.25, "colour": "green", "sold": False}, COLUMNS, notes)
    assert frame.row(0) == (1.0, 2.25, "green", 0.0, None, None)
    assert any('column "day" is not given and taken as missing' in note for note in notes)
    assert parse_rows("5.1;;red;no;2024-12-31;x", COLUMNS)["width"].to_list() == [None]


cells = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just("1.5"))
names = st.one_of(st.sampled_from([column.name for column in COLUMNS]), st.text(max_size=8))
rows = st.one_of(
    st.text(),
    st.text(alphabet='1a.,;"\n\t[]{}-', max_size=60),
    st.lists(cells, max_size=8),
    st.lists(st.lists(cells, min_size=6, max_size=7), max_size=3),
    st.lists(st.dictionaries(names, cells, max_size=7), max_size=3),
    st.recursive(cells, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)),
)


@settings(max_examples=examples(full=400, brief=100), deadline=None)
@given(rows)
def test_whatever_is_given_only_foreseen_errors_are_raised(value):
    for given_input in (value, json.dumps(value)):
        try:
            frame = parse_rows(given_input, COLUMNS)
        except TrainerError as error:
            assert error.message
        else:
            assert frame.height > 0
            assert frame.width == 6


def copy_of(model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model, tmp_path / "copy"))


def reseal(folder: Path, name: str, content: bytes) -> None:
    """Exchange a file and make the manifest describe the new one, as whoever can write the folder could."""
    import hashlib

    (folder / name).write_bytes(content)
    manifest = registry.read_manifest(folder)
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    write_json_atomically(folder / "model.json", manifest)


def test_no_model_file_is_a_pickle_and_the_manifest_tells_all(iris):
    manifest = registry.read_manifest(iris["random_forest"])
    assert manifest["model_type"] == "random_forest"
    assert (manifest["target"], manifest["task"]) == ("species", "classification")
    assert manifest["classes"] == ["setosa", "versicolor", "virginica"]
    assert manifest["columns"][0]["kind"] == "number" and manifest["columns"][0]["examples"]
    assert manifest["config"]["n_estimators"] == 20 and manifest["metrics"]["accuracy"] > 0.8
    assert sorted(path.name for path in iris["random_forest"].iterdir()) == [
        "encoder.json",
        "model.json",
        "model.skops",
    ]
    assert zipfile.is_zipfile(iris["random_forest"] / "model.skops")


def evil_pickle() -> bytes:
    """An archive of skops' format whose schema asks for os.system."""
    schema = {
        "__class__": "system",
        "__module__": "os",
        "__loader__": "TypeNode",
        "protocol": 2,
        "_skops_version": "0.16",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
    return buffer.getvalue()


def bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", b" " * 50_000_000)
    return buffer.getvalue()


def wild_tree(folder: Path) -> bytes:
    """The forest with a child index that points far outside of its tree."""
    import skops.io

    forest = registry.load(folder).model
    state = forest.estimators_[0].tree_.__getstate__()
    state["nodes"]["left_child"][0] = 10**9
    forest.estimators_[0].tree_.__setstate__(state)
    return skops.io.dumps(forest)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda folder: evil_pickle(), "types that this kind of model does not have|damaged"),
        (lambda folder: bomb(), "would unpack to 50000000 bytes"),
        (lambda folder: b"\x80\x04cos\nsystem\n.", "damaged"),
        (lambda folder: (folder / "model.skops").read_bytes()[:-30], "damaged"),
        (lambda folder: (folder.parent / "svm" / "model.skops").read_bytes(), "types that|no model of this kind"),
        (wild_tree, "damaged tree"),
    ],
)
def test_an_exchanged_model_file_is_refused_even_if_resealed(content, words, iris, tmp_path):
    folder = copy_of(iris["random_forest"], tmp_path)
    reseal(folder, "model.skops", content(iris["random_forest"]))
    with pytest.raises(ModelProblem, match=words):
        registry.load(folder)


@pytest.mark.parametrize("name", ["model.skops", "encoder.json"])
def test_a_damaged_file_is_noticed(name, iris, tmp_path):
    folder = copy_of(iris["random_forest"], tmp_path)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ModelProblem, match="is not the file that the model's manifest describes"):
        registry.load(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "../../etc"},
        {"model_type": "svm"},
        {"model_type": None},
        {"format_version": 99},
        {"columns": []},
        {"columns": [{"name": "x"}]},
        {"columns": None},
        {"task": "guessing"},
        {"classes": ["a"]},
        {"files": {}},
        {"files": None},
    ],
)
def test_a_tampered_manifest_is_refused(change, iris, tmp_path):
    folder = copy_of(iris["random_forest"], tmp_path)
    write_json_atomically(folder / "model.json", {**registry.read_manifest(folder), **change})
    with pytest.raises(ModelProblem):
        registry.load(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "\x00"])
def test_a_manifest_that_is_none_is_refused(text, iris, tmp_path):
    folder = copy_of(iris["random_forest"], tmp_path)
    (folder / "model.json").write_text(text)
    with pytest.raises(ModelProblem):
        registry.load(folder)
    os.remove(folder / "model.json")
    with pytest.raises(ModelProblem, match=r"model\.json is missing"):
        registry.load(folder)


@pytest.mark.parametrize(
    "state", [{}, {"scaled": False, "columns": {}}, [], {"scaled": 1, "columns": {"sepal_length": 5}}]
)
def test_an_encoder_of_another_shape_is_refused(state, iris, tmp_path):
    folder = copy_of(iris["random_forest"], tmp_path)
    reseal(folder, "encoder.json", json.dumps(state).encode())
    with pytest.raises(ModelProblem, match="encoder is damaged"):
        registry.load(folder)


def test_a_value_that_training_never_saw_is_answered(tmp_path, recorder):
    rows = "".join(f"{['red', 'blue', 'green'][i % 3]},{i % 3}.5,{'ab'[i % 3 == 0]}\n" for i in range(60))
    (tmp_path / "t.csv").write_text("colour,size,y\n" + rows)
    registry.train("logistic_regression", {}, tmp_path / "t.csv", tmp_path / "m", recorder)
    answers = registry.load(tmp_path / "m").predict_input(
        '[{"colour": "pink", "size": 1.5}, {"colour": null, "size": null}]'
    )
    assert all(np.isfinite(answer["score"]) for answer in answers)
