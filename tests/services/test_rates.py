"""Limits: windows, atomic counting, and what happens without Redis."""

import math
import threading
import time

import pytest
import redis

from automl_site import rates
from automl_site.origins import client_address, is_loopback, is_same_origin, open_mode_refusal
from tests.conftest import wait_until


def test_a_rate_is_a_count_and_a_period() -> None:
    assert rates.parse_rate("100/m") == (100, 60)
    assert rates.parse_rate("5/10s") == (5, 10)
    assert rates.parse_rate("") is None
    for wrong in ("100", "m/100", "100/y", "-1/m", "1/m; x"):
        with pytest.raises(ValueError, match="count/period"):
            rates.parse_rate(wrong)


def test_calls_beyond_the_limit_are_told_until_the_window_ends(redis_client: redis.Redis) -> None:
    limit = rates.Limit("test", "ann", 2, 60)
    began = time.time()
    usages = [rates.hit(limit)[0] for _ in range(3)]
    assert [usage.exceeded for usage in usages] == [False, False, True]
    assert [usage.remaining for usage in usages] == [1, 0, 0]
    assert 0 < usages[2].retry_after <= 60
    assert began + 59 <= usages[2].reset_at <= time.time() + 61
    assert redis_client.pexpire(limit.key, 1)
    wait_until(lambda: not redis_client.exists(limit.key), what="the window's end")
    assert rates.hit(limit)[0].used == 1


def test_subjects_and_names_are_counted_apart(redis_client: redis.Redis) -> None:
    for name, subject in (("a", "ann"), ("a", "bob"), ("b", "ann")):
        assert rates.hit(rates.Limit(name, subject, 1, 60))[0].used == 1


def test_a_call_taken_back_does_not_count(redis_client: redis.Redis) -> None:
    limit = rates.Limit("undo", "ann", 1, 60)
    for _ in range(5):
        assert not rates.hit(limit)[0].exceeded
        rates.undo(limit)
    rates.undo(limit)
    assert rates.hit(limit)[0].used == 1, "a window is never below nothing"


def test_of_many_at_once_exactly_as_many_pass_as_are_allowed(redis_client: redis.Redis) -> None:
    limit, passed, start = rates.Limit("many", "ann", 7, 60), [], threading.Barrier(16)

    def run() -> None:
        start.wait(10)
        passed.append(not rates.hit(limit)[0].exceeded)

    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (len(passed), sum(passed)) == (16, 7)


def test_without_redis_every_call_passes_and_the_log_says_so_once_a_minute(
    settings: object, tmp_path: object, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "_warned_at", -math.inf)
    settings.REDIS_URL = f"unix://{tmp_path}/nothing.sock"
    limit = rates.Limit("away", "ann", 0, 60)
    for _ in range(3):
        assert not rates.hit(limit)[0].exceeded
    rates.undo(limit)
    assert caplog.text.count("Redis is away") == 1
    monkeypatch.setattr(rates, "_warned_at", time.monotonic() - 61)
    rates.hit(limit)
    assert caplog.text.count("Redis is away") == 2


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "address"),
    [
        (0, "192.0.2.1", "198.51.100.7", "192.0.2.1"),  # anybody can write that header
        (1, "192.0.2.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        (2, "192.0.2.1", "203.0.113.9, 198.51.100.7", "203.0.113.9"),
        (2, "192.0.2.1", "198.51.100.7", "198.51.100.7"),
        (1, "192.0.2.1", "", "192.0.2.1"),
        (0, "2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
        (0, "::1", "", "::/64"),
        (0, "", "", "local"),
    ],
)
def test_the_callers_address_comes_from_trusted_proxies_only(
    settings: object, proxies: int, peer: str, forwarded: str, address: str
) -> None:
    settings.TRUSTED_PROXIES = proxies
    meta = {"REMOTE_ADDR": peer} | ({"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {})
    assert client_address(meta) == address


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1:8000", "127.9.9.9", "[::1]:8000", "a.localhost"]
)
def test_loopback_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "example.com", "localhost.example.com", "10.0.0.1", "127.0.0.1.example.com", "[", "0.0.0.0"]
)
def test_other_names_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


def test_open_mode_refuses_foreign_hosts_and_foreign_pages() -> None:
    assert open_mode_refusal(host="localhost:8000", origin="") is None
    assert open_mode_refusal(host="localhost:8000", origin="http://localhost:8000") is None
    for host, origin in (
        ("evil.example", ""),
        ("localhost:8000", "http://evil.example"),
        ("localhost:8000", "http://localhost:3000"),
        ("localhost:8000", "null"),
    ):
        assert open_mode_refusal(host=host, origin=origin)
    assert not is_same_origin("", "")
