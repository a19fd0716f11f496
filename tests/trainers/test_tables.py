"""Tables as users have them: what is read, what is told, what is refused and where."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.trainers.conftest import Recorder
from trainers import registry
from trainers.protocol import DataProblem
from trainers.tabular.kinds import find_columns, parse_table, read_plain_numbers
from trainers.tabular.read import parse_csv, read_table

ROWS = 40
GOOD = "a,b,y\n" + "".join(f"{i % 7},{i % 5}.5,{'yes' if i % 7 > 3 else 'no'}\n" for i in range(ROWS))
QUICK = {"n_estimators": 5}


def train(content: bytes | str, tmp_path: Path, settings: dict | None = None, model_type: str = "random_forest"):
    """(result, recorder) of training on a file with that content."""
    path = tmp_path / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    recorder = Recorder(tmp_path / "checkpoint")
    config = (QUICK if model_type == "random_forest" else {}) | (settings or {})
    return registry.train(model_type, config, path, tmp_path / "model", recorder), recorder


@pytest.mark.parametrize(
    ("content", "names", "rows"),
    [
        (b"a,b\n1,2\n3,4\n", ["a", "b"], [["1", "2"], ["3", "4"]]),
        (b"\xef\xbb\xbfa;b\n1,5;2\n", ["a", "b"], [["1,5", "2"]]),
        (b"a\tb\r\n1\t2\r\n", ["a", "b"], [["1", "2"]]),
        (b"a|b\n1|2", ["a", "b"], [["1", "2"]]),
        (b'a,b\n"x\ny","q""z"\n', ["a", "b"], [["x\ny", 'q"z']]),
        (b"a,b\r1,2\r3,4\r", ["a", "b"], [["1", "2"], ["3", "4"]]),
        ("a,b\né,1\n".encode("latin-1"), ["a", "b"], [["é", "1"]]),
        ("a,b\né,1\n".encode("utf-16"), ["a", "b"], [["é", "1"]]),
        (b"a,a,,b \n1,2,3,4\n", ["a", "a_2", "column_3", "b"], [["1", "2", "3", "4"]]),
        (b"\n\na,b\n\n1,2\n  \n3,4\n\n", ["a", "b"], [["1", "2"], ["3", "4"]]),
        (b'"a,x",b\n"1,0",2\n', ["a,x", "b"], [["1,0", "2"]]),
    ],
)
def test_csv_is_read_in_the_spellings_that_there_are(content, names, rows):
    frame = parse_csv(content, "t.csv").frame
    assert frame.columns == names
    assert [list(row) for row in frame.rows()] == rows


def test_rows_keep_the_numbers_they_have_in_the_file():
    table = parse_csv(b'a,b\n1,2\n\n"x\ny",3\n4,5\n', "t.csv")
    assert table.row.tolist() == [2, 4, 5]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \n \n", "is empty"),
        (b"a,b\n", "has a header and no rows"),
        (b'a,b\n1,2\n"x,2\n', "row 3: a quote"),
        (b'a,b\n5" pipe,2\n', "row 2: a quote"),
        (b"a,b\n1,2,3\n1,2,3\n", "row 2: 3 values where the header has 2"),
        (b"a,b\n1\0,2\n", "NUL byte in row 2"),
        (b"PK\x03\x04" + b"x" * 100, "a zip archive or an Excel workbook"),
        (b"PAR1" + b"x" * 100, "damaged Parquet"),
        (b"\x1f\x8b" + b"x" * 100, "a gzip archive"),
    ],
)
def test_what_is_no_table_is_refused_by_row(content, words, tmp_path):
    with pytest.raises(DataProblem) as caught:
        train(content, tmp_path)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("content", "settings", "words"),
    [
        ("y\n1\n2\n", {}, "There is one column"),
        (GOOD, {"target": "z"}, 'There is no column "z". The columns are "a", "b", "y"'),
        (GOOD.replace("b,y", "price,y"), {"target": "prize"}, 'Did you mean "price"?'),
        ("a,y\n" + "".join(f"{i},x\n" for i in range(20)), {}, 'has one class, "x"'),
        ("a,y\n" + "".join(f"{i % 3},x{i}\n" for i in range(20)), {}, "too many to be classes"),
        ("a,y\n1,p\n2,q\n3,p\n", {}, "at least 10 are needed"),
        ("a,y\n" + "".join(f"{i % 3},\n" for i in range(20)), {}, "0 rows have a value of the target"),
        ("a,y\n" + "".join(f"{i % 3},{i}.5\n" for i in range(20)) + "1,1e200\n", {}, "beyond ±1e+30 in row 22"),
        ("a,y\n" + "".join(f"{i % 3},7\n" for i in range(20)), {"task": "regression"}, "is 7 in every row"),
        (GOOD, {"task": "regression"}, 'A regression needs numbers: the target "y" has "no"'),
        ("a,y\n" + "".join(f"same,{i % 2}\n" for i in range(20)), {}, "No column is left to learn from"),
        (GOOD, {"class_weight": {"yess": 2.0}}, 'Did you mean "yes"?'),
        (GOOD, {"criterion": "poisson"}, "does not fit the task"),
        (GOOD, {"monotonic_cst": {"c": 1}}, "is no input column"),
        (GOOD, {"monotonic_cst": [1]}, "has 1 entries for 2 input columns"),
        (GOOD, {"test_size": 0.01}, "39 to learn from and 1 to score"),
    ],
)
def test_data_that_cannot_be_learnt_from_is_refused_with_the_reason(content, settings, words, tmp_path):
    with pytest.raises(Exception) as caught:  # noqa: B017, PT011 - the type is checked below
        train(content, tmp_path, settings)
    assert isinstance(caught.value, registry.TrainerError)
    assert words in caught.value.message


def test_a_logistic_regression_refuses_a_continuous_target_and_names_what_to_use(tables, tmp_path, recorder):
    with pytest.raises(DataProblem, match="Use random_forest or svm"):
        registry.train("logistic_regression", {}, tables["diabetes"], tmp_path / "m", recorder)


def test_a_missing_file_is_told(tmp_path, recorder):
    with pytest.raises(DataProblem, match="There is no file nothing.csv"):
        registry.train("random_forest", {}, tmp_path / "nothing.csv", tmp_path / "m", recorder)


def test_rows_without_a_target_are_left_out_and_named(tmp_path):
    lines = GOOD.splitlines()
    lines[4] = "1,2,"
    lines[16] = "1,2,n/a"
    result, recorder = train("\n".join(lines), tmp_path)
    assert 'the target "y" is missing or unreadable in rows 5, 17: 2 of 40 rows are left out' in recorder.text("WARN")
    assert result.metrics["n_train"] + result.metrics["n_test"] == ROWS - 2


def test_a_few_ragged_rows_are_left_out_and_named(tmp_path):
    result, recorder = train(GOOD + "1,2\n", tmp_path)
    assert "row 42: 2 values where the header has 3. Left out: row 42" in recorder.text("WARN")
    assert result.metrics["n_train"] + result.metrics["n_test"] == ROWS


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["yes", "no"], "classification"),
        (["True", "False"], "classification"),
        (["+", "-"], "classification"),
        ([0, 1, 2], "classification"),
        ([1.0, 2.0], "classification"),
        ([f"{i}.25" for i in range(15)], "regression"),
        (list(range(30)), "regression"),
        ([0.5, 1.5], "regression"),
    ],
)
def test_the_task_is_found_from_the_target_and_the_reason_logged(values, task, tmp_path):
    rows = "".join(f"{(i * 7) % 11},{values[i % len(values)]}\n" for i in range(90))
    result, recorder = train("a,y\n" + rows, tmp_path)
    assert result.task == task
    assert f"task: {task} (" in recorder.text("INFO")
    assert 'target column: "y", the last one' in recorder.text("INFO")


def test_a_class_with_one_row_and_a_rare_class_do_no_harm(tmp_path):
    rows = [f"{i},{'a' if i % 10 else 'b'}" for i in range(1, 100)] + ["5,only", "6,c", "7,c"]
    for model_type in ("random_forest", "svm", "logistic_regression"):
        result, recorder = train("x,y\n" + "\n".join(rows), tmp_path, model_type=model_type)
        assert "classes with one row are learnt from and not scored: only" in recorder.text("WARN")
        assert "unbalanced classes (4): a: 90, b: 9, c: 2, only: 1" in recorder.text("WARN")
        assert 0 <= result.metrics["balanced_accuracy"] <= 1
        assert result.report["confusion_matrix"]["labels"] == ["a", "b", "c", "only"]


def kinds_of(columns: dict[str, list]) -> tuple[dict[str, str], dict[str, list], list]:
    n = len(next(iter(columns.values())))
    text = pl.DataFrame(columns).write_csv().encode()
    table = read_plain_numbers(parse_csv(text, "t.csv"), "no target")
    found, notes = find_columns(table, "no target")
    frame = parse_table(table, found, notes)
    assert frame.height == n
    return {column.name: column.kind for column in found}, frame.to_dict(as_series=False), notes


def test_cells_are_understood_as_people_write_them():
    n = 60
    kinds, values, notes = kinds_of(
        {
            "plain": [f"{i * 1.5}" for i in range(n)],
            "gaps": [["n/a", "-", "?", "", "NULL"][i // 3 % 5] if i % 3 == 0 else f"{i}.5" for i in range(n)],
            "odd": ["unknown" if i in (7, 9) else f"{i}.25" for i in range(n)],
            "german": [f"{i}.{i:03d},5" if i % 2 else f"{i},25" for i in range(n)],
            "us": ["1,234,567" if i == 0 else f"{i},{i:03d}" for i in range(n)],
            "dollars": [f"${i}.50" for i in range(n)],
            "percent": [f"{i / 4} %" for i in range(n)],
            "flag": ["Yes" if i % 3 else "no" for i in range(n)],
            "iso": [f"2024-03-{i % 28 + 1:02d}" for i in range(n)],
            "european": [f"{i % 28 + 1:02d}.{i % 12 + 1:02d}.2023" for i in range(n)],
            "stamp": [f"2024-03-{i % 28 + 1:02d}T{i % 24:02d}:30:00Z" for i in range(n)],
            "zip": [f"{i % 9:05d}" for i in range(n)],
            "colour": ["red", "green", "blue"] * (n // 3),
            "words": [f"the {['cheap', 'good', 'slow'][i % 3]} thing number{i} broke" for i in range(n)],
            "serial": [f"SN-{i * 7919}" for i in range(n)],
            "row": list(range(n)),
            "constant": ["x"] * n,
            "empty": ["", "NA"] * (n // 2),
            "infinite": ["inf" if i == 2 else f"{i / 3:.3f}" for i in range(n)],
            "extreme": ["1e200" if i == 2 else f"{i / 3:.3f}" for i in range(n)],
        }
    )
    number, date, ignored = "number", "date", "ignored"
    assert kinds == {
        **dict.fromkeys(["plain", "gaps", "odd", "german", "us", "dollars", "percent", "infinite", "extreme"], number),
        **dict.fromkeys(["iso", "european", "stamp"], date),
        **dict.fromkeys(["serial", "row", "constant", "empty"], ignored),
        **{"flag": "boolean", "zip": "category", "colour": "category", "words": "text"},
    }
    assert values["german"][:3] == [0.25, 1001.5, 2.25]
    assert values["us"][:2] == [1234567.0, 1001.0]
    assert (values["dollars"][3], values["percent"][3], values["flag"][:2]) == (3.5, 0.75, [0.0, 1.0])
    assert (values["gaps"][:2], values["odd"][7]) == ([None, 1.5], None)
    assert (values["european"][1].month, values["stamp"][5].hour) == (2, 5)
    assert (values["infinite"][2], values["extreme"][2]) == (None, 1e30)
    told = "\n".join(message for _, message in notes)
    for line in (
        'column "odd": "unknown" is no number, taken as missing in rows 9, 11',
        'column "infinite": "inf" is no number, taken as missing in row 4',
        'column "extreme": cut off at 1e+30 in row 4',
        'left out column "constant": it is the same in every row',
        'left out column "serial": it differs in every row',
        'left out column "row": it numbers the rows',
    ):
        assert line in told


def messy_table(path: Path, n: int, target: str) -> None:
    """A file with gaps, categories, dates, free text and noise, whose target depends on each kind of column."""
    rng = np.random.default_rng(1)
    income = rng.lognormal(10, 0.5, n)
    region = rng.choice(
        ["north", "south", "east", "west"] + [f"rare{i}" for i in range(30)], n, p=[0.23] * 4 + [0.08 / 30] * 30
    )
    day = rng.integers(0, 700, n)
    mood = rng.choice(["great", "terrible", "fine"], n)
    score = (
        np.log(income)
        - 10
        + (region == "north") * 0.8
        + day / 700
        + (mood == "terrible") * -0.9
        + rng.normal(0, 0.3, n)
    )
    dates = (np.datetime64("2022-01-01") + day).astype(str)
    frame = pl.DataFrame(
        {
            "id": np.arange(n),
            "income": [["n/a", "-", ""][i % 3] if rng.random() < 0.1 else f"{income[i]:,.2f}" for i in range(n)],
            "region": [None if rng.random() < 0.05 else value for value in region],
            "joined": [None if rng.random() < 0.05 else f"{d[8:]}.{d[5:7]}.{d[:4]}" for d in dates],
            "comment": [f"it was {m}, order {i} came in {i % 9} days" for i, m in enumerate(mood)],
            "member": rng.choice(["yes", "no"], n),
            target: score if target == "score" else np.where(score > np.median(score), "buys", "leaves"),
        }
    )
    frame.write_csv(path, separator=";")


@pytest.mark.parametrize("model_type", ["random_forest", "svm", "logistic_regression"])
def test_a_messy_file_is_learnt_from_and_beats_the_majority_by_a_fifth(model_type, tmp_path, recorder):
    messy_table(tmp_path / "messy.csv", 900, "outcome")
    result = registry.train(model_type, {}, tmp_path / "messy.csv", tmp_path / "model", recorder)
    assert result.metrics["accuracy"] > 0.5 + 0.2
    kinds = {column["name"]: column["kind"] for column in result.columns}
    assert kinds == {
        "id": "ignored",
        "income": "number",
        "region": "category",
        "joined": "date",
        "comment": "text",
        "member": "boolean",
    }
    answers = registry.load(tmp_path / "model").predict_input(tmp_path / "messy.csv")
    truth = read_table(tmp_path / "messy.csv").frame["outcome"].to_list()
    assert np.mean([answer["label"] == label for answer, label in zip(answers, truth, strict=True)]) > 0.7


@pytest.mark.parametrize("model_type", ["random_forest", "svm"])
def test_a_messy_file_explains_half_of_a_number(model_type, tmp_path, recorder):
    messy_table(tmp_path / "messy.csv", 900, "score")
    result = registry.train(model_type, {}, tmp_path / "messy.csv", tmp_path / "model", recorder)
    assert result.task == "regression"
    assert result.metrics["r2"] > 0.5  # always saying the mean scores 0


def test_parquet_and_a_folder_give_the_model_that_the_csv_gives(tables, tmp_path):
    frame = pl.read_csv(tables["wine"])
    frame.write_parquet(tmp_path / "wine.parquet")
    (tmp_path / "parts").mkdir()
    frame[:100].write_csv(tmp_path / "parts" / "a.csv")
    frame[100:].write_csv(tmp_path / "parts" / "b.csv")
    (tmp_path / "parts" / "readme.md").write_text("no table")
    scores = []
    for i, path in enumerate([tables["wine"], tmp_path / "wine.parquet", tmp_path / "parts"]):
        recorder = Recorder(tmp_path / f"checkpoint{i}")
        result = registry.train("random_forest", QUICK, path, tmp_path / f"model{i}", recorder)
        scores.append({name: value for name, value in result.metrics.items() if name != "training_time"})
    assert scores[0] == scores[1] == scores[2]


def test_files_of_a_folder_that_differ_are_named(tmp_path, recorder):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("x,z\n1,2\n")
    with pytest.raises(DataProblem, match='column "y" is not in both a.csv and b.csv'):
        registry.train("random_forest", {}, tmp_path, tmp_path / "m", recorder)
    with pytest.raises(DataProblem, match="holds no CSV, JSON lines or Parquet file"):
        registry.train("random_forest", {}, recorder.checkpoint(), tmp_path / "m", recorder)


def test_a_typed_parquet_file_is_understood(tmp_path, recorder):
    n = 60
    pl.DataFrame(
        {
            "when": pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 2, 29), eager=True),
            "flag": [i % 2 == 0 for i in range(n)],
            "cat": pl.Series(["a", "b", "c"] * 20, dtype=pl.Categorical),
            "nested": [[1, 2]] * n,
            "money": pl.Series([f"{i}.25" for i in range(n)]).cast(pl.Decimal(10, 2)),
            "y": [i % 2 == 0 for i in range(n)],
        }
    ).write_parquet(tmp_path / "t.parquet")
    result = registry.train("random_forest", QUICK, tmp_path / "t.parquet", tmp_path / "m", recorder)
    assert {c["name"]: c["kind"] for c in result.columns} == {
        "when": "date",
        "flag": "boolean",
        "cat": "category",
        "money": "number",
    }
    assert "left out columns that hold no plain values: nested" in recorder.text("WARN")
    assert result.metrics["accuracy"] == 1.0
