"""The bodies of the metric POSTs, as pure functions: every form, and every way to get one wrong."""

import math
from datetime import UTC, datetime

import pytest

from api.tracking import metric_bodies
from api.tracking.metric_bodies import parse_batch, parse_point
from automl_site.errors import InvalidSpec
from tracking.store import Point

TIME = datetime(2023, 1, 1, tzinfo=UTC)


def refused(parse, body):
    with pytest.raises(InvalidSpec) as error:
        parse(body)
    return error.value.errors


def test_the_documents_single_metric():
    assert parse_point({"name": "loss", "value": 0.5, "step": 1}) == Point("loss", 0.5, 1)


def test_the_documents_batch():
    body = {"metrics": {"loss": 0.5, "accuracy": 0.85, "learning_rate": 0.001}, "step": 1}
    assert parse_batch(body) == [Point("loss", 0.5, 1), Point("accuracy", 0.85, 1), Point("learning_rate", 0.001, 1)]


def test_all_three_forms_say_the_same():
    points = [Point("loss", 0.5, 1, TIME), Point("acc", 1.0, 1, TIME)]
    stamp = "2023-01-01T00:00:00"
    assert parse_batch({"metrics": {"loss": 0.5, "acc": 1}, "step": 1, "timestamp": stamp}) == points
    rows = [{"name": "loss", "value": 0.5}, {"name": "acc", "value": 1}]
    assert parse_batch({"points": [row | {"step": 1.0, "timestamp": stamp + "Z"} for row in rows]}) == points
    columns = {"steps": [1], "timestamps": [1672531200]}
    assert parse_batch({"series": {"loss": columns | {"values": [0.5]}, "acc": columns | {"values": [1]}}}) == points


@pytest.mark.parametrize("body", [{"metrics": {}}, {"points": []}, {"series": {}}, {"series": {"a": {"values": []}}}])
def test_an_empty_batch_has_no_points(body):
    assert parse_batch(body) == []


def test_what_json_lacks_comes_as_words_or_as_pythons_literals():
    nan, up, down, literal = parse_batch(
        {"series": {"a": {"values": ["NaN", "Infinity", "-Infinity", math.nan], "steps": None}}}
    )
    assert math.isnan(nan.value) and math.isnan(literal.value)
    assert (up.value, down.value) == (math.inf, -math.inf)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2023-01-01T02:00:00+02:00", TIME),
        ("2023-01-01T00:00:00.000001", TIME.replace(microsecond=1)),
        (1672531200.5, TIME.replace(microsecond=500_000)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_times_are_iso_8601_or_seconds(text, time):
    assert parse_point({"name": "a", "value": 1, "timestamp": text}).time == time


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": " \t"}, "name"),
        ({"name": 5}, "name"),
        ({"name": ["a"]}, "name"),
        ({"name": "x" * 251}, "name"),
        ({"name": "a\x00"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"value": None}, "value"),
        ({"value": True}, "value"),
        ({"value": "0.5"}, "value"),
        ({"value": "nan"}, "value"),
        ({"value": [1]}, "value"),
        ({"value": {}}, "value"),
        ({"step": True}, "step"),
        ({"step": "1"}, "step"),
        ({"step": 1.5}, "step"),
        ({"step": math.nan}, "step"),
        ({"step": math.inf}, "step"),
        ({"step": 2**63}, "step"),
        ({"step": -(2**62) - 1}, "step"),
        ({"step": 1e300}, "step"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": ""}, "timestamp"),
        ({"timestamp": "10000-01-01T00:00:00"}, "timestamp"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "timestamp"),
        ({"timestamp": 1672531200000}, "timestamp"),
        ({"timestamp": 1e300}, "timestamp"),
        ({"timestamp": math.nan}, "timestamp"),
        ({"timestamp": False}, "timestamp"),
        ({"timestamp": {}}, "timestamp"),
        ({"valeu": 1}, "valeu"),
        ({"id": 1}, "id"),
    ],
)
def test_each_field_of_a_point_is_refused_at_its_name(change, field):
    point = {"name": "loss", "value": 0.5} | change
    assert list(refused(parse_point, point)) == [field]
    assert list(refused(parse_batch, {"points": [{"name": "fine", "value": 1}, point]})) == [f"points.1.{field}"]


@pytest.mark.parametrize("body", [None, [], "x", 5, True, [{"name": "a", "value": 1}]])
@pytest.mark.parametrize("parse", [parse_point, parse_batch])
def test_a_body_that_is_no_object_is_refused(parse, body):
    assert list(refused(parse, body)) == ["non_field_errors"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "metrics"),
        ({"step": 1}, "metrics"),
        ({"metrics": {"a": 1}, "points": []}, "points"),
        ({"metrics": [1]}, "metrics"),
        ({"metrics": None}, "metrics"),
        ({"metrics": {"": 1}}, "metrics"),
        ({"metrics": {"x" * 300: 1}}, "metrics"),
        ({"metrics": {"a": "x"}}, "metrics.a"),
        ({"metrics": {"a": {"b": 1}}}, "metrics.a"),
        ({"metrics": {"a": 1}, "step": "1"}, "step"),
        ({"metrics": {"a": 1}, "stpe": 1}, "stpe"),
        ({"points": {}}, "points"),
        ({"points": [1]}, "points.0"),
        ({"points": [], "step": 1}, "step"),
        ({"series": []}, "series"),
        ({"series": {"a": [1, 2]}}, "series.a"),
        ({"series": {"": {"values": [1]}}}, "series"),
        ({"series": {"a": {}}}, "series.a.values"),
        ({"series": {"a": {"values": 1}}}, "series.a.values"),
        ({"series": {"a": {"values": [1, None]}}}, "series.a.values.1"),
        ({"series": {"a": {"values": [1], "steps": [1, 2]}}}, "series.a.steps"),
        ({"series": {"a": {"values": [1], "steps": 1}}}, "series.a.steps"),
        ({"series": {"a": {"values": [1], "steps": [1.5]}}}, "series.a.steps.0"),
        ({"series": {"a": {"values": [1], "timestamps": ["x"]}}}, "series.a.timestamps.0"),
        ({"series": {"a": {"values": [1], "step": [1]}}}, "series.a.step"),
    ],
)
def test_each_part_of_a_batch_is_refused_at_its_place(body, field):
    assert list(refused(parse_batch, body)) == [field]


def test_an_unknown_field_names_the_nearest_known_one():
    assert refused(parse_point, {"name": "a", "valeu": 1, "value": 1}) == {
        "valeu": ["Unknown field 'valeu'; did you mean 'value'?"]
    }


def test_not_more_errors_are_told_than_a_person_reads():
    assert len(refused(parse_batch, {"points": [{}] * 1000})) == 20


@pytest.mark.parametrize(
    "body",
    [
        {"metrics": {"a": 1, "b": 1, "c": 1, "d": 1}},
        {"points": [{"name": "a", "value": 1}] * 4},
        {"series": {"a": {"values": [1, 1]}, "b": {"values": [1, 1]}}},
        {"series": {"a": {"values": [1] * 4}}},
    ],
)
def test_a_request_has_a_bounded_number_of_points(body, monkeypatch):
    monkeypatch.setattr(metric_bodies, "MAX_POINTS", 3)
    (sentences,) = refused(parse_batch, body).values()
    assert "at most 3 points, not 4" in sentences[0]
