"""With a spool, a killed process loses nothing it accepted, and the next one sends it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import faulty
import pytest
from faulty import Gateway, new_session

from the_eye import Client

UNREACHABLE = "http://127.0.0.1:9"


def client_for(url: str, spool: Path, **options: object) -> Client:
    options = {"flush_interval": 0.01, "close_timeout": 5.0, "spool": str(spool), **options}
    return Client(url, "k", **options)  # type: ignore[arg-type]


def left(spool: Path) -> list[str]:
    return sorted(path.name for path in spool.iterdir())


def test_events_go_through_the_spool_and_leave_nothing_behind(gateway: Gateway, tmp_path: Path) -> None:
    with client_for(gateway.url, tmp_path, batch_events=10) as client:
        ids = [client.track(new_session(), "test", "event", {"n": n}) for n in range(105)]
    assert [event["event_id"] for event in gateway.log] == ids
    assert client.stats().delivered == 105
    assert left(tmp_path) == []


def test_the_next_process_sends_the_events_that_could_not_be_sent(gateway: Gateway, tmp_path: Path) -> None:
    with client_for(UNREACHABLE, tmp_path, close_timeout=0.1, batch_events=3) as first:
        ids = [first.track(new_session(), "test", "event", {}) for _ in range(10)]
    assert first.stats().lost == {}
    assert first.stats().waiting == 10
    with client_for(gateway.url, tmp_path) as second:
        pass  # it need not track anything itself
    assert gateway.ids == ids
    assert second.stats().recovered == second.stats().delivered == 10
    assert left(tmp_path) == []


def test_a_file_that_cannot_be_opened_holds_up_no_other(gateway: Gateway, tmp_path: Path) -> None:
    with client_for(UNREACHABLE, tmp_path, close_timeout=0.1) as first:
        ids = [first.track(new_session(), "test", "event", {}) for _ in range(3)]
    # As another user's would be, whatever they are called: some are looked at before and some after ours.
    others = [f"{letter * 32}.lock" for letter in "0f"]
    for name in others:
        (tmp_path / name).mkdir()
    with client_for(gateway.url, tmp_path) as second:
        pass
    assert gateway.ids == ids
    assert second.stats().delivered == 3
    assert left(tmp_path) == others


KILLED = """
    import os, sys, uuid
    from the_eye import Client
    client = Client(spool=sys.argv[1], flush_interval=0.01, batch_events=20)
    while True:
        id = client.track(uuid.uuid4(), "test", "event", {})
        if id:
            os.write(1, id.encode() + b"\\n")
"""


@pytest.mark.parametrize("reachable", [True, False], ids=["while_sending", "while_unreachable"])
def test_kill_9_loses_nothing_that_was_accepted(gateway: Gateway, tmp_path: Path, reachable: bool) -> None:
    accepted: list[str] = []
    if reachable:
        # Some answers are lost on their way: the killed process can't know what arrived.
        gateway.faults = [
            faulty.reset(after_append=True) if n % 3 == 0 else lambda _: False for n in range(999)
        ]
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)],
            env={**os.environ, "EYE_URL": gateway.url if reachable else UNREACHABLE, "EYE_KEY": "k"},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        accepted += [process.stdout.readline().decode().strip() for _ in range(1000)]
        process.kill()
        # What it wrote between the last line we read and its end was accepted, too.
        accepted += process.stdout.read().decode().split("\n")[:-1]
        process.stdout.close()
        process.wait()
    gateway.faults.clear()
    with client_for(gateway.url, tmp_path, close_timeout=30.0) as client:
        pass
    assert client.stats().lost == {}
    # The last id may have been accepted without having been written to us.
    assert set(accepted) <= set(gateway.ids)
    assert len(gateway.ids) - len(set(accepted)) <= 3
    assert left(tmp_path) == []


def test_a_line_cut_short_is_not_sent(gateway: Gateway, tmp_path: Path) -> None:
    with client_for(UNREACHABLE, tmp_path, close_timeout=0.05) as client:
        id = client.track(new_session(), "test", "event", {})
    [segment] = tmp_path.glob("*.ndjson")
    with segment.open("ab") as file:
        file.write(b'{"event_id":"cut')
    with client_for(gateway.url, tmp_path):
        pass
    assert gateway.ids == [id]
    assert left(tmp_path) == []


def test_a_living_process_keeps_its_events(gateway: Gateway, tmp_path: Path) -> None:
    first = client_for(UNREACHABLE, tmp_path, close_timeout=0.05)
    first.track(new_session(), "test", "event", {})
    with client_for(gateway.url, tmp_path) as second:
        pass
    assert second.stats().recovered == 0
    assert gateway.log == []
    first.close()


def test_the_spool_is_bounded_and_counts_what_it_drops(tmp_path: Path) -> None:
    client = client_for(UNREACHABLE, tmp_path, spool_bytes=10_000, close_timeout=0.05)
    ids = [client.track(new_session(), "test", "event", {}) for _ in range(100)]
    client.close()
    accepted = sum(id is not None for id in ids)
    assert 0 < accepted < 100
    assert client.stats().dropped == {"buffer_full": 100 - accepted}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 10_000


def test_a_spool_that_cannot_be_written_falls_back_to_memory(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with client_for(gateway.url, tmp_path / "file" / "spool") as client:
        assert client.track(new_session(), "test", "event", {})
    assert client.stats().delivered == 1


def test_a_disk_that_fails_drops_and_counts(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    with client_for(gateway.url, tmp_path, flush_interval=60.0) as client:
        first = client.track(new_session(), "test", "event", {})
        # A full disk takes the beginning of a line.
        monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[: len(data) // 2]))
        assert client.track(new_session(), "test", "event", {}) is None
        monkeypatch.undo()
        last = client.track(new_session(), "test", "event", {})
    assert gateway.ids == [first, last]
    assert client.stats().dropped == {"spool_error": 1}


def test_a_forked_child_has_a_spool_of_its_own(gateway: Gateway, tmp_path: Path) -> None:
    client = client_for(gateway.url, tmp_path, flush_interval=0.2)
    client.track(new_session(), "test", "parent", {})
    pid = os.fork()
    if pid == 0:
        try:
            client.track(new_session(), "test", "child", {})
            client.close()
            os._exit(0 if client.stats().delivered == 1 else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    client.close()
    assert sorted(event["name"] for event in gateway.log) == ["child", "parent"]
    assert left(tmp_path) == []
