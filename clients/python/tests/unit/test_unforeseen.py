"""Nothing unforeseen loses an event or deletes a file of the spool, and nothing tells the key."""

from __future__ import annotations

import http.client
import logging
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

import faulty
import pytest
from faulty import Gateway, new_session

from the_eye import Client
from the_eye import outbox as outbox_module

KEY = "a-secret-key"


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "FIRST_BACKOFF", 0.01)


def client_for(gateway: Gateway, **options: Any) -> Client:
    return Client(gateway.url, KEY, **{"flush_interval": 0.01, "close_timeout": 30.0, **options})


def track(client: Client, count: int) -> list[str | None]:
    return [client.track(new_session(), "test", "event", {"n": n}) for n in range(count)]


def left(spool: Path) -> list[str]:
    return sorted(path.name for path in spool.iterdir())


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Failing:
    """Takes the place of ``attribute`` and raises ``error``, until it is told to stop."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, owner: type, attribute: str, error: Exception
    ) -> None:
        self.calls = 0
        self.stopped = False
        original = getattr(owner, attribute)

        def call(*args: Any, **kwargs: Any) -> Any:
            if self.stopped:
                return original(*args, **kwargs)
            self.calls += 1
            raise error

        monkeypatch.setattr(owner, attribute, call)


ERRORS = [
    ValueError(f"Invalid header value b'Bearer {KEY}'"),
    UnicodeError("label empty or too long"),
    RecursionError("too deep"),
    MemoryError(),
    KeyError("x"),
    http.client.InvalidURL("x"),
    TimeoutError(),
]


@pytest.mark.parametrize("spooled", [False, True], ids=["memory", "spool"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_events_arrive_later_after_any_exception_of_the_transport(
    gateway: Gateway,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    spooled: bool,
) -> None:
    failing = Failing(monkeypatch, http.client.HTTPConnection, "request", error)
    with client_for(gateway, spool=str(tmp_path) if spooled else None) as client:
        ids = track(client, 5)
        until(lambda: failing.calls >= 3)
        assert client.stats().waiting == 5
        if spooled:
            lines = [line for path in tmp_path.glob("*.ndjson") for line in path.read_text().splitlines()]
            assert len(lines) == 5
        failing.stopped = True
    assert gateway.ids == ids
    stats = client.stats()
    assert (stats.delivered, stats.waiting, stats.lost) == (5, 0, {})
    assert left(tmp_path) == []
    assert type(error).__name__ in caplog.text
    assert KEY not in caplog.text


def test_an_account_that_is_closed_in_the_middle_of_it_adds_up(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(monkeypatch, http.client.HTTPConnection, "request", ValueError())
    in_memory, spooled = client_for(gateway), client_for(gateway, spool=str(tmp_path))
    for client in (in_memory, spooled):
        track(client, 7)
        until(lambda client=client: client.stats().retries)
        client.close(0.05)
    assert (in_memory.stats().lost, in_memory.stats().waiting) == ({"exit": 7}, 0)
    assert (spooled.stats().lost, spooled.stats().waiting) == ({}, 7)
    failing.stopped = True
    with client_for(gateway, spool=str(tmp_path)) as later:
        pass
    assert (later.stats().recovered, later.stats().delivered) == (7, 7)
    assert left(tmp_path) == []


def test_a_log_handler_that_raises_costs_nothing(gateway: Gateway) -> None:
    def refuse(_: logging.LogRecord) -> bool:
        raise RuntimeError("no")

    gateway.faults = [faulty.status(503)] * 3
    log = logging.getLogger("the_eye")
    log.addFilter(refuse)
    try:
        with client_for(gateway) as client:
            ids = track(client, 3)
    finally:
        log.removeFilter(refuse)
    assert gateway.ids == ids
    assert client.stats().delivered == 3


def test_a_file_that_cannot_be_read_now_is_read_later(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(monkeypatch, Path, "read_bytes", OSError(24, "Too many open files"))
    with client_for(gateway, spool=str(tmp_path)) as client:
        ids = track(client, 3)
        until(lambda: failing.calls >= 3)
        assert client.stats().waiting == 3
        failing.stopped = True
        assert client.flush(30)
    assert gateway.ids == ids
    assert client.stats().delivered == 3
    assert left(tmp_path) == []


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files in it can't be read."""
    read = Path.read_bytes
    unreadable: list[Path] = []

    def fail(path: Path) -> bytes:
        if path in unreadable:
            raise OSError(5, "Input/output error")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", fail)
    return unreadable


def test_a_file_that_can_never_be_read_is_in_nobody_s_way(
    gateway: Gateway, tmp_path: Path, unreadable: list[Path]
) -> None:
    with client_for(gateway, spool=str(tmp_path), batch_events=2, flush_interval=1.0) as client:
        track(client, 1)
        unreadable += tmp_path.glob("*.ndjson")
        track(client, 1)
        ids = track(client, 3)
        until(lambda: client.stats().delivered == 3)  # the third by the flush_interval
        begin = time.monotonic()
    assert time.monotonic() - begin < 10
    assert gateway.ids == ids
    assert client.stats().waiting == 2
    assert len(left(tmp_path)) == 2  # for a later process, with the lock by which that one finds it


def test_flush_waits_for_the_events_before_it_and_not_for_later_ones(
    gateway: Gateway, tmp_path: Path, unreadable: list[Path]
) -> None:
    with (
        client_for(gateway, spool=str(tmp_path), batch_events=5, flush_interval=1.0) as client,
        ThreadPoolExecutor() as threads,
    ):
        track(client, 1)
        unreadable += tmp_path.glob("*.ndjson")
        flushed = threads.submit(client.flush, 30)
        until(lambda: client._outbox._buffer.open_since is None or client.stats().delivered)
        track(client, 5)
        until(lambda: client.stats().delivered == 5)
        time.sleep(0.1)
        assert not flushed.done()
        unreadable.clear()
        assert flushed.result()
        assert client.stats().delivered == 6


def test_a_dead_process_s_file_that_cannot_be_read_now_is_read_later(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "LOOK_FOR_ORPHANS_EVERY", 0.0)
    with Client("http://127.0.0.1:9", KEY, spool=str(tmp_path), close_timeout=0.05) as dead:
        track(dead, 3)
    failing = Failing(monkeypatch, Path, "read_bytes", OSError(5, "Input/output error"))
    with client_for(gateway, spool=str(tmp_path)) as client:
        until(lambda: failing.calls >= 1)
        failing.stopped = True
        until(lambda: client.track(new_session(), "test", "event", {}) and client.stats().recovered)
    assert client.stats().recovered == 3
    assert client.stats().delivered == client.stats().accepted + 3
    assert left(tmp_path) == []


def test_a_file_that_cannot_be_removed_is_sent_once_and_counted_once(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Failing(monkeypatch, Path, "unlink", PermissionError(1, "Operation not permitted"))
    with client_for(gateway, spool=str(tmp_path)) as client:
        track(client, 3)
        assert client.flush(30)
        track(client, 2)
    assert len(gateway.log) == 5
    stats = client.stats()
    assert (stats.accepted, stats.delivered, stats.waiting, stats.lost) == (5, 5, 0, {})


@pytest.mark.parametrize("by", ["argument", "variable"])
def test_white_space_around_key_and_url_is_cut_off(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    url, key = f" {gateway.url}\n", f"\t{KEY}\r\n"
    monkeypatch.setenv("EYE_URL", url)
    monkeypatch.setenv("EYE_KEY", key)
    with Client(url, key) if by == "argument" else Client() as client:
        client.pageview(new_session(), "h", "/")
    assert gateway.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert client.stats().delivered == 1


@pytest.mark.parametrize("by", ["argument", "variable"])
@pytest.mark.parametrize("key", ["a\u2013secret", "a\nsecret", "a\x7fsecret", "sécret"])
def test_a_key_that_no_header_carries_is_refused_and_not_told(
    monkeypatch: pytest.MonkeyPatch, key: str, by: str
) -> None:
    monkeypatch.setenv("EYE_KEY", key)
    with pytest.raises(ValueError, match=r"^key \(or EYE_KEY\)") as refused:
        Client("http://127.0.0.1:9", key if by == "argument" else None)
    told = "".join(traceback.format_exception(refused.type, refused.value, refused.tb, chain=True))
    assert "cret" not in told.replace(__file__, "")


@pytest.mark.parametrize(
    "url", [KEY, f"https://h:{KEY}", f"http://[{KEY}", "http://h/a b", "http://h/é", "http://a..b"]
)
def test_a_url_that_is_none_is_refused_and_not_told(url: str) -> None:
    with pytest.raises(ValueError, match=r"^url \(or EYE_URL\)") as refused:
        Client(url, "https://eye.example.com")
    assert KEY not in "".join(traceback.format_exception(refused.type, refused.value, refused.tb))
