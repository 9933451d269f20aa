"""Each event the client accepted is in the tables exactly once, whatever happened on the way to the real
gateway and to the client itself."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from pipeline import FaultyWay, Pipeline

from the_eye import Client
from the_eye import outbox as outbox_module

# `EYE_OUTAGE_SECONDS=60` for an outage as it happens; the short one goes through the same states.
OUTAGE = float(os.environ.get("EYE_OUTAGE_SECONDS", "3"))
DATA = {"host": "www.example.com", "path": "/"}


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "FIRST_BACKOFF", 0.05)


def track(client: Client, session: str, count: int) -> list[str]:
    ids = [client.track(session, "page interaction", "pageview", DATA) for _ in range(count)]
    return [id for id in ids if id]


def client_for(url: str, pipeline: Pipeline, **options: Any) -> Client:
    return Client(url, pipeline.key, **{"flush_interval": 0.01, "close_timeout": 60.0, **options})


def test_503_429_and_lost_answers_are_healed_by_the_event_id(pipeline: Pipeline, way: FaultyWay) -> None:
    way.faults = ["503", "lost", "429", "pass", "lost", "503", "pass", "lost", "lost"]
    session = str(uuid.uuid4())
    with client_for(way.url, pipeline, batch_events=10, flush_interval=60.0) as client:
        ids = track(client, session, 200)
    stats = client.stats()
    assert stats.delivered == stats.accepted == len(ids) == 200
    assert stats.retries >= 7
    assert pipeline.timeline(session, 200) == ids
    # Each answer that was lost left a second copy in the log, which is judged a duplicate.
    others = [other["verdict"] for id in ids for other in pipeline.fate(id)["others"]]
    assert set(others) == {"duplicate"}
    assert len(others) >= way.taken.count("lost") * 10


def test_a_gateway_that_is_down_for_a_while_costs_nothing(pipeline: Pipeline, way: FaultyWay) -> None:
    session = str(uuid.uuid4())
    ids: list[str] = []
    with client_for(way.url, pipeline, batch_events=50) as client:
        ids += track(client, session, 100)
        outage = threading.Thread(target=way.down_for, args=(OUTAGE,))
        outage.start()
        while outage.is_alive():
            ids += track(client, session, 5)
            outage.join(0.02)
        ids += track(client, session, 100)
    stats = client.stats()
    assert stats.retries > 0
    assert stats.delivered == stats.accepted == len(ids)
    assert pipeline.timeline(session, len(ids)) == ids


def test_events_that_a_full_buffer_drops_are_counted(pipeline: Pipeline, way: FaultyWay) -> None:
    session = str(uuid.uuid4())
    with client_for(way.url, pipeline, buffer_events=200, batch_events=50) as client:
        outage = threading.Thread(target=way.down_for, args=(1.0,))
        outage.start()
        while way._thread.is_alive():
            pass
        ids = track(client, session, 500)
        outage.join()
    stats = client.stats()
    assert stats.dropped == {"buffer_full": 500 - len(ids)}
    assert stats.delivered == stats.accepted == len(ids) == 200
    assert pipeline.timeline(session, 200) == ids


KILLED = """
    import os, sys
    from the_eye import Client
    client = Client(spool=sys.argv[1], flush_interval=0.01, batch_events=20)
    while True:
        id = client.pageview(sys.argv[2], "www.example.com", "/")
        if id:
            os.write(1, id.encode() + b"\\n")
"""


def test_a_killed_client_with_a_spool_loses_nothing(
    pipeline: Pipeline, way: FaultyWay, tmp_path: Path
) -> None:
    session = str(uuid.uuid4())
    accepted: list[str] = []
    for _ in range(3):
        way.faults = ["pass", "lost", "503"] * 1000
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path), session],
            env={**os.environ, "EYE_URL": way.url, "EYE_KEY": pipeline.key},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        accepted += [process.stdout.readline().decode().strip() for _ in range(300)]
        process.kill()
        accepted += process.stdout.read().decode().split("\n")[:-1]
        process.stdout.close()
        process.wait()
    way.faults.clear()
    with client_for(way.url, pipeline, spool=str(tmp_path)) as client:
        pass
    stats = client.stats()
    assert stats.lost == {}
    assert stats.delivered == stats.recovered > 0
    assert list(tmp_path.iterdir()) == []
    # The last one of each process may have been accepted before its id was written to us.
    arrived = pipeline.timeline(session, len(accepted))
    assert len(set(arrived)) == len(arrived)
    assert set(accepted) <= set(arrived)
    assert len(arrived) - len(accepted) <= 3


def test_an_unknown_key_is_held_and_counted(pipeline: Pipeline) -> None:
    client = Client(pipeline.url, "no such key", flush_interval=0.01, close_timeout=0.5)
    track(client, str(uuid.uuid4()), 3)
    client.close()
    assert client.stats().lost == {"exit": 3}
