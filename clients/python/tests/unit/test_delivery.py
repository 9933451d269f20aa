"""Each accepted event arrives exactly once by its id, or is counted, whatever the gateway does."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import faulty
import pytest
from faulty import Gateway, new_session

from the_eye import Client, Stats
from the_eye import outbox as outbox_module


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "FIRST_BACKOFF", 0.01)


def client_for(gateway: Gateway, **options: object) -> Client:
    return Client(gateway.url, "k", **{"flush_interval": 0.01, "close_timeout": 5.0, **options})  # type: ignore[arg-type]


def track(client: Client, count: int, session: str | None = None) -> list[str]:
    session = session or new_session()
    ids = [client.track(session, "test", "event", {"n": n}) for n in range(count)]
    assert all(ids)
    return [id for id in ids if id]


def balance(stats: Stats) -> None:
    ended = stats.delivered + sum(stats.rejected.values()) + sum(stats.lost.values())
    assert stats.accepted + stats.recovered == ended + stats.waiting


def test_an_event_is_sent_as_the_contract_says(gateway: Gateway) -> None:
    session = new_session()
    before = datetime.now(timezone.utc)
    with client_for(gateway) as client:
        id = client.track(session, "page interaction", "pageview", {"host": "h", "path": "/é"})
        after = datetime.now(timezone.utc)
    [event] = gateway.log
    at, sent_at = (
        datetime.fromisoformat(event.pop(k).replace("Z", "+00:00")) for k in ("timestamp", "sent_at")
    )
    assert event == {
        "event_id": id,
        "session_id": session,
        "category": "page interaction",
        "name": "pageview",
        "data": {"host": "h", "path": "/é"},
    }
    assert before <= at <= after
    assert at <= sent_at
    assert gateway.headers[0]["Authorization"] == "Bearer k"
    assert gateway.headers[0]["Content-Type"] == "application/x-ndjson"


def test_events_travel_in_batches_and_in_order(gateway: Gateway) -> None:
    with client_for(gateway, batch_events=100, flush_interval=60.0) as client:
        ids = track(client, 1050)
    assert [event["event_id"] for event in gateway.log] == ids
    assert [body.count(b"\n") for body in gateway.bodies] == [100] * 10 + [50]


def test_batches_are_bounded_by_bytes_and_large_ones_compressed(gateway: Gateway) -> None:
    with client_for(gateway, batch_bytes=10_000, gzip_over=5_000) as client:
        for _ in range(10):
            client.track(new_session(), "test", "event", {"text": "x" * 3_000})
        client.flush()
        client.track(new_session(), "test", "event", {})
    assert len(gateway.log) == 11
    assert max(len(body) for body in gateway.bodies) < 11_000
    assert {headers.get("Content-Encoding") for headers in gateway.headers} == {"gzip", None}


@pytest.mark.parametrize(
    "fault",
    [
        faulty.status(503),
        faulty.status(500, body=b"<html>"),
        faulty.status(429, retry_after="0"),
        faulty.status(401),
        faulty.status(202, body=b"not receipts"),
        faulty.status(202, body={"receipts": []}),
        faulty.status(202, body={"receipts": [{"error": "text"}] * 20}),
        faulty.status(202, body=b"[" * 200_000),
        faulty.status(400, body=b"<html>a proxy says no</html>"),
        faulty.status(405),
        faulty.reset(after_append=False),
        faulty.reset(after_append=True),
        faulty.cut_short,
        faulty.hang,
    ],
    ids=[
        "503",
        "500",
        "429",
        "401",
        "no_json",
        "no_receipts",
        "no_error",
        "deep_json",
        "400_of_another",
        "405_of_another",
        "reset_before",
        "reset_after",
        "cut_short",
        "hang",
    ],
)
def test_a_fault_is_retried_under_the_same_ids(gateway: Gateway, fault: object) -> None:
    gateway.faults = [fault, fault]  # type: ignore[list-item]
    # Short only where waiting for it is the point: a busy machine may take long for an answer, too.
    with client_for(gateway, timeout=0.3 if fault is faulty.hang else 30.0) as client:
        ids = track(client, 20)
    stats = client.stats()
    assert gateway.ids == ids
    assert stats.delivered == 20
    assert stats.waiting == 0
    assert stats.retries >= 1
    balance(stats)


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(gateway: Gateway, code: int, form: str) -> None:
    # A date has no fraction of a second: 2 s from now is more than 1 s from now.
    date = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=2.5), usegmt=True)
    gateway.faults = [faulty.status(code, retry_after="1" if form == "seconds" else date)]
    with client_for(gateway) as client:
        track(client, 1)
        assert client.flush(10)
    first, second = gateway.arrived
    assert second - first >= 1.0


def test_one_refused_event_harms_no_neighbour(gateway: Gateway) -> None:
    gateway.faults = [faulty.receipt_errors({1: "invalid_field", 3: "too_large"})]
    with client_for(gateway, flush_interval=60.0) as client:
        ids = track(client, 5)
    stats = client.stats()
    assert gateway.ids == [ids[0], ids[2], ids[4]]
    assert stats.rejected == {"invalid_field": 1, "too_large": 1}
    assert stats.retries == 0
    balance(stats)


def test_a_batch_of_refused_events_is_counted(gateway: Gateway) -> None:
    gateway.faults = [faulty.receipt_errors({0: "missing_field"})]
    with client_for(gateway) as client:
        track(client, 1)
    assert client.stats().rejected == {"missing_field": 1}


def test_an_event_the_brokers_did_not_take_is_sent_again_alone(gateway: Gateway) -> None:
    gateway.faults = [faulty.receipt_errors({1: "brokers_slow"})]
    with client_for(gateway, flush_interval=60.0) as client:
        ids = track(client, 3)
    assert sorted(gateway.ids) == sorted(ids)
    assert [body.count(b"\n") for body in gateway.bodies] == [3, 1]


def test_a_body_that_is_too_large_is_halved(gateway: Gateway) -> None:
    gateway.faults = [faulty.too_large_over(3)] * 100
    with client_for(gateway, batch_events=16) as client:
        ids = track(client, 16)
    assert [event["event_id"] for event in gateway.log] == ids


def test_an_event_that_is_too_large_even_alone_is_counted(gateway: Gateway) -> None:
    gateway.faults = [faulty.too_large_over(0)] * 3
    with client_for(gateway, batch_events=2) as client:
        track(client, 2)
    assert client.stats().rejected == {"too_large": 2}
    balance(client.stats())


def test_a_request_the_gateway_cannot_read_is_not_repeated_for_ever(gateway: Gateway) -> None:
    gateway.faults = [faulty.status(415, body={"code": "unsupported_media_type"})]
    with client_for(gateway, flush_interval=60.0) as client:
        track(client, 3)
    assert client.stats().rejected == {"unsupported_media_type": 3}


def test_a_gateway_that_is_down_for_a_while_costs_nothing(gateway: Gateway) -> None:
    gateway.faults = [faulty.reset(after_append=n % 2 == 0) for n in range(8)]
    with client_for(gateway, batch_events=10) as client:
        ids = track(client, 200)
    assert gateway.ids == ids
    assert client.stats().delivered == 200


def test_the_buffer_is_bounded_and_counts_what_it_drops(gateway: Gateway) -> None:
    gateway.faults = [faulty.hang]
    client = client_for(gateway, buffer_events=100, batch_events=10, timeout=0.5)
    ids = [client.track(new_session(), "test", "event", {}) for _ in range(250)]
    client.close()
    accepted = [id for id in ids if id]
    stats = client.stats()
    assert gateway.ids == accepted
    assert stats.accepted == len(accepted) >= 100
    assert stats.dropped == {"buffer_full": 250 - len(accepted)}
    balance(stats)


def test_the_end_is_bounded_and_the_unsent_are_counted(gateway: Gateway) -> None:
    gateway.faults = [faulty.status(503, retry_after="60")] * 5
    client = client_for(gateway, close_timeout=0.3)
    track(client, 7)
    begin = time.monotonic()
    client.close()
    assert time.monotonic() - begin < 30  # the gateway asked for 60
    stats = client.stats()
    assert stats.lost == {"exit": 7}
    assert stats.waiting == 0
    assert client.track(new_session(), "test", "event", {}) is None
    assert client.stats().dropped == {"closed": 1}
    balance(stats)


def test_an_idle_connection_closed_by_the_server_is_no_outage(gateway: Gateway) -> None:
    def close_after(handler: faulty.Handler) -> bool:
        handler.append_and_answer()
        handler.close_connection = True
        return True

    gateway.faults = [close_after]
    with client_for(gateway) as client:
        track(client, 1)
        assert client.flush()
        track(client, 1)
        assert client.flush()
    assert len(gateway.log) == 2
    assert client.stats().retries == 0


def test_a_repeat_says_when_it_was_sent(gateway: Gateway) -> None:
    gateway.faults = [faulty.status(503, retry_after="1")]
    with client_for(gateway) as client:
        track(client, 1)
        assert client.flush()
    first, second = (json.loads(body) for body in gateway.bodies)
    assert first["timestamp"] == second["timestamp"]
    assert first["sent_at"] < second["sent_at"]
