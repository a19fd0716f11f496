"""JSON in: what is taken, and what is refused before it can do harm."""

import json
import time
from typing import Any

import pytest
from django.test import Client
from rest_framework.exceptions import ParseError

from api.base.parsers import loads
from automl_site.errors import InvalidSpec

pytestmark = pytest.mark.urls("tests.contracts.base.raising_urls")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_unicode_encodings_and_byte_order_marks_are_taken(encoding: str) -> None:
    assert loads('{"a": "ü😀"}'.encode(encoding)) == {"a": "ü😀"}


def test_an_empty_body_is_an_empty_object() -> None:
    assert loads(b"") == loads(b" \n") == {}


@pytest.mark.parametrize(
    "body",
    [b"{", b"{'a': 1}", b'{"a": 1,}', b"\xff\xfe\xfd", b'{"a": 01}', b"NaN", b'{"a": Infinity}', b"-Infinity", b"nul",
     b'{"a": NaN, "b": 1234567890123456789012}', b'"\xc3"', b'{"a"\x00: 1}', b"1e", b"{} {}"],
)  # fmt: skip
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    with pytest.raises(ParseError):
        loads(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": "\\u0000"}',
        b'{"\\u0000": 1}',
        b'{"a": 99999999999999999999999}',
        b'{"a": -9223372036854775809}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 100 + b"]" * 100,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100 + b"1" + b"}" * 100,
    ],
)
def test_json_that_cannot_be_kept_is_refused(body: bytes) -> None:
    for allow_nan in (False, True):
        with pytest.raises(InvalidSpec):
            loads(body, allow_nan=allow_nan)


def test_halves_of_surrogate_pairs_are_refused() -> None:
    with pytest.raises(ParseError):
        loads(b'"\\ud800"')
    with pytest.raises(InvalidSpec):
        loads(b'["\\ud800", NaN]', allow_nan=True)


def test_a_number_beyond_a_double_is_refused() -> None:
    with pytest.raises(ParseError):
        loads(b"[1e999]")
    with pytest.raises(InvalidSpec):
        loads(b'[1e999, "1234567890123456789"]')


def test_good_json_is_taken() -> None:
    assert loads(b'{"a": 1, "a": 2}') == {"a": 2}, "the last of two equal keys counts"
    assert loads(b"[" * 60 + b"]" * 60)
    assert loads(b'["[[[[' + b"[" * 200 + b'"]'), "brackets in a string are no nesting"
    assert loads(b'["12345678901234567890123", 9223372036854775807]')[1] == 2**63 - 1
    assert str(loads(b'{"a": NaN, "b": -Infinity}', allow_nan=True)) == "{'a': nan, 'b': -inf}"


def test_a_digit_bomb_is_refused_fast() -> None:
    begun = time.perf_counter()
    with pytest.raises((ParseError, InvalidSpec)):
        loads(b"1" * 1_000_000)
    assert time.perf_counter() - begun < 2


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"text": 123}, ["text"]),
        ({"text": None}, ["text"]),
        ({"number": "5"}, ["number"]),
        ({"number": True}, ["number"]),
        ({"number": 5.5}, ["number"]),
        ({"number": 2**63}, ["number"]),
        ({"fraction": "0.5"}, ["fraction"]),
        ({"flag": "false"}, ["flag"]),
        ({"flag": 1}, ["flag"]),
        ({"flag": None}, ["flag"]),
        ({"txt": "a"}, ["txt"]),
        ({"text": [], "number": {}}, ["text", "number"]),
        ([], ["non_field_errors"]),
        ("text", ["non_field_errors"]),
        (None, ["non_field_errors"]),
        (5, ["non_field_errors"]),
    ],
)
def test_json_types_are_taken_as_they_are(client: Client, body: Any, fields: list[str]) -> None:
    answer = client.post("/auth/echo", json.dumps(body), content_type="application/json")
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == fields


def test_what_was_read_can_be_sent_back(client: Client) -> None:
    body = {"id": 7, "created_at": "x", "text": " ü😀 ", "number": 5.0, "fraction": 1, "flag": False}
    answer = client.post("/auth/echo", json.dumps(body), content_type="application/json; charset=utf-8")
    assert answer.json() == {"text": "ü😀", "number": 5, "fraction": 1.0, "flag": False}


def test_a_view_may_take_nan(client: Client) -> None:
    answer = client.post("/auth/loose", '{"loss": NaN}', content_type="application/json")
    assert answer.json() == {"got": "{'loss': nan}"}
    assert client.post("/auth/echo", '{"fraction": NaN}', content_type="application/json").status_code == 400
