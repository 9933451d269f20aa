"""What the application may rely on: nothing raises, nothing waits, whatever it hands over."""

from __future__ import annotations

import decimal
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from datetime import date, datetime, timedelta, timezone
from enum import Enum

import faulty
import pytest
from faulty import Gateway, new_session

from the_eye import Client


class Colour(Enum):
    RED = "red"


def client_for(gateway: Gateway, **options: object) -> Client:
    return Client(gateway.url, "k", **{"flush_interval": 0.01, **options})  # type: ignore[arg-type]


def test_values_that_have_a_form_in_json_are_sent(gateway: Gateway) -> None:
    with client_for(gateway) as client:
        client.track(
            uuid.uuid4(),
            "test",
            "event",
            {
                "time": datetime(2021, 1, 1, 9, 15, tzinfo=timezone.utc),
                "date": date(2021, 1, 1),
                "id": uuid.UUID(int=1),
                "price": decimal.Decimal("1.10"),
                "enum": Colour.RED,
                "set": {2, 1},
                "tuple": (1, None),
            },
        )
    assert gateway.log[0]["data"] == {
        "time": "2021-01-01T09:15:00+00:00",
        "date": "2021-01-01",
        "id": "00000000-0000-0000-0000-000000000001",
        "price": "1.10",
        "enum": "red",
        "set": [1, 2],
        "tuple": [1, None],
    }


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (datetime(2021, 1, 1, 9, 15, 27, 243860), "2021-01-01T09:15:27.243860Z"),
        (datetime(2021, 1, 1, 9, tzinfo=timezone(timedelta(hours=2))), "2021-01-01T07:00:00.000000Z"),
    ],
)
def test_a_timestamp_may_be_given(gateway: Gateway, given: datetime, sent: str) -> None:
    with client_for(gateway) as client:
        client.track(new_session(), "test", "event", {}, timestamp=given)
    assert gateway.log[0]["timestamp"] == sent


def hostile() -> dict[str, object]:
    circle: dict[str, object] = {}
    circle["self"] = circle
    deep: dict[str, object] = {}
    for _ in range(100_000):
        deep = {"d": deep}

    class Raises:
        def __str__(self) -> str:
            raise RuntimeError("no")

    return {
        "circle": circle,
        "deep": deep,
        "nan": {"x": float("nan")},
        "surrogate": {"x": "\ud800"},
        "object": {"x": object()},
        "key": {(1, 2): 1},
        "not_a_mapping": 7,
        "none": None,
        "raises": {"x": {Raises(), 1}},
    }


@pytest.mark.parametrize("case", hostile())
def test_no_argument_makes_track_raise(gateway: Gateway, case: str) -> None:
    with client_for(gateway) as client:
        assert client.track(new_session(), "test", "event", hostile()[case]) is None  # type: ignore[arg-type]
        assert client.track(new_session(), "test", "event", {"good": True})
    assert [event["data"] for event in gateway.log] == [{"good": True}]
    assert client.stats().dropped == {"invalid": 1}


def test_an_event_over_the_limit_is_dropped_and_counted(gateway: Gateway) -> None:
    with client_for(gateway, max_event_bytes=1000) as client:
        assert client.track(new_session(), "test", "event", {"x": "y" * 1000}) is None
    assert client.stats().dropped == {"too_large": 1}


def test_ids_are_random_uuids_also_after_a_fork(gateway: Gateway) -> None:
    client = client_for(gateway)
    reader, writer = os.pipe()
    pid = os.fork()
    ids = "".join(f"{client.track(new_session(), 'test', 'event', {})}\n" for _ in range(500))
    os.write(writer, ids.encode())
    if pid == 0:
        os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as lines:
        both = [uuid.UUID(line.strip()) for line in lines]
    client.close()
    assert len(set(both)) == 1000
    assert all(id.version == 4 and id.variant == uuid.RFC_4122 for id in both)


def test_data_may_be_changed_after_the_call(gateway: Gateway) -> None:
    data = {"n": 1}
    with client_for(gateway) as client:
        client.track(new_session(), "test", "event", data)
        data["n"] = 2
    assert gateway.log[0]["data"] == {"n": 1}


def test_form_values_are_sent_only_on_request(gateway: Gateway) -> None:
    form = {"first_name": "John", "last_name": "Doe"}
    with client_for(gateway) as client:
        client.form_submit(new_session(), "h", "/", form)
        client.form_submit(new_session(), "h", "/", form, with_values=True)
        assert client.form_submit(new_session(), "h", "/", ["first_name"], with_values=True) is None
    assert [event["data"]["form"] for event in gateway.log] == [{"first_name": "", "last_name": ""}, form]
    assert b"John" not in gateway.bodies[0].splitlines()[0]


def test_many_threads_share_a_client(gateway: Gateway) -> None:
    with client_for(gateway) as client:
        threads = [
            threading.Thread(target=lambda: [client.track(new_session(), "t", "e", {}) for _ in range(200)])
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(gateway.ids) == 1600
    assert client.stats().delivered == 1600


def test_a_signal_handler_may_track(gateway: Gateway) -> None:
    client = client_for(gateway)
    before = signal.signal(signal.SIGALRM, lambda *_: client.track(new_session(), "test", "signal", {}))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        end = time.monotonic() + 0.5
        tracked = 0
        while time.monotonic() < end:
            tracked += client.track(new_session(), "test", "event", {}) is not None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    client.close()
    stats = client.stats()
    assert stats.accepted == stats.delivered == len(gateway.ids) > tracked > 0


def test_a_gateway_that_cannot_be_reached_delays_nobody() -> None:
    client = Client("http://127.0.0.1:9", "k", buffer_events=100, close_timeout=0.2)
    for _ in range(500):
        client.track(new_session(), "test", "event", {})
    client.close()
    assert client.stats().lost == {"exit": 100}
    assert client.stats().dropped == {"buffer_full": 400}


def test_a_client_without_a_key_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EYE_URL", raising=False)
    monkeypatch.delenv("EYE_KEY", raising=False)
    with pytest.raises(ValueError, match="EYE_URL and EYE_KEY"):
        Client()
    with pytest.raises(ValueError, match="https://"):
        Client("eye.example.com", "k")


def run_python(code: str, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)],
        env={**os.environ, "EYE_URL": url, "EYE_KEY": "k"},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("end", ["", "raise SystemExit(0)"])
def test_the_end_of_the_process_flushes(gateway: Gateway, end: str) -> None:
    code = f"""
        import uuid
        from the_eye import Client
        for n in range(3):
            Client(flush_interval=60).track(uuid.uuid4(), "test", "event", {{"n": n}})
        {end}
    """
    result = run_python(code, gateway.url)
    assert result.returncode == 0, result.stderr
    assert [event["data"]["n"] for event in gateway.log] in ([0, 1, 2], [2, 1, 0])


def test_the_end_of_the_process_is_bounded(gateway: Gateway) -> None:
    gateway.faults = [faulty.hang] * 10  # each for as long as the test
    result = run_python(
        """
        import uuid
        from the_eye import Client
        Client(close_timeout=0.5).track(uuid.uuid4(), "test", "event", {})
        """,
        gateway.url,
    )
    assert result.returncode == 0, result.stderr


def test_a_forked_child_sends_its_own_events_and_only_those(gateway: Gateway) -> None:
    client = client_for(gateway, flush_interval=0.2)
    parent_id = client.track(new_session(), "test", "parent", {})
    pid = os.fork()
    if pid == 0:
        try:
            client.track(new_session(), "test", "child", {})
            client.close()
            good = client.stats().delivered == client.stats().accepted == 1
            os._exit(0 if good else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    client.close()
    assert sorted(event["name"] for event in gateway.log) == ["child", "parent"]
    assert parent_id in gateway.ids
    assert client.stats().delivered == 1


def test_forks_while_other_threads_track_never_deadlock(gateway: Gateway) -> None:
    client = client_for(gateway)
    stop = threading.Event()

    def track_on() -> None:
        while not stop.is_set():
            client.track(new_session(), "test", "parent", {})
            time.sleep(0.0005)

    threads = [threading.Thread(target=track_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            pid = os.fork()
            if pid == 0:
                signal.alarm(60)  # a deadlock ends the child by this signal
                client.track(new_session(), "test", "child", {})
                client.close()
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    client.close()
    assert sum(event["name"] == "child" for event in gateway.log) == 20
    assert client.stats().delivered == client.stats().accepted


def _in_worker(client: Client) -> None:
    client.track(new_session(), "test", "worker", {})


def test_a_multiprocessing_child_flushes_at_its_end(gateway: Gateway) -> None:
    # Such a child ends without atexit.
    client = client_for(gateway, flush_interval=60.0)
    process = multiprocessing.get_context("fork").Process(target=_in_worker, args=(client,))
    process.start()
    process.join(20)
    assert process.exitcode == 0
    assert [event["name"] for event in gateway.log] == ["worker"]
    client.close()


def test_a_closed_client_leaves_no_thread(gateway: Gateway) -> None:
    with client_for(gateway) as client:
        client.track(new_session(), "test", "event", {})
    del client
    gc.collect()
    assert not [thread for thread in threading.enumerate() if thread.name == "the-eye"]
