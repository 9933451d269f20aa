"""How often a gateway that fails is asked again: less and less often, whatever it answers."""

from __future__ import annotations

import threading
import time
from typing import Any

import faulty
import pytest
from faulty import Gateway, new_session

from the_eye import Client

OUTAGE = 60.0
# Of 200 ms at least half each, doubled each time: 0.1 * (2**10 - 1) is more than the outage.
MOST_REQUESTS = 11


class Clock:
    """Goes on while the client waits, which takes no time: only the clock says for how long."""

    def __init__(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        self.work: threading.Condition = client._outbox._work
        self.really_wait = self.work.wait
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(self.work, "wait", self.wait)

    def wait(self, timeout: float | None = None) -> Any:
        if timeout is None:
            return self.really_wait()
        self.now += timeout
        return False


@pytest.mark.parametrize(
    ("asks", "least"),
    [
        (None, 0),
        ("0", 0),
        ("-1", 0),
        ("0.01", 0),
        ("Fri, 01 Jan 2021 09:15:27 GMT", 0),
        ("soon", 0),
        ("nan", 0),
        ("", 0),
        ("7", 7),
        ("1.5", 1.5),
        pytest.param("9" * 400, 300, id="400 digits"),
        pytest.param("9" * 5_000, 300, id="5000 digits"),
        ("Fri, 01 Jan 2100 09:15:27 GMT", 300),
    ],
)
def test_repeats_grow_rarer_for_every_retry_after(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, asks: str | None, least: float
) -> None:
    client = Client(gateway.url, "k")
    clock = Clock(client, monkeypatch)
    begin = clock.now
    down = faulty.status(503, retry_after=asks)
    gateway.faults = [lambda handler: clock.now < begin + OUTAGE and down(handler)] * 5_000
    client.track(new_session(), "test", "event", {})
    assert client.flush(60)
    assert client.stats().delivered == 1
    waits = [later - earlier for earlier, later in zip(gateway.arrived, gateway.arrived[1:])]
    assert len(gateway.arrived) <= MOST_REQUESTS + 1  # the last one when the outage is over
    assert all(wait >= least for wait in waits)
    assert max(waits) < 331  # the longest that is granted, and a tenth
    client.close()


def test_close_repeats_soon_and_its_pauses_grow_from_the_start(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(gateway.url, "k")
    clock = Clock(client, monkeypatch)
    closer = threading.Thread(target=client.close, args=(OUTAGE,))

    def down(handler: faulty.Handler) -> bool:
        if len(gateway.arrived) == 9:
            closer.start()
            while not client._outbox._closing:
                time.sleep(0.001)
        return faulty.status(503, retry_after="0")(handler)

    gateway.faults = [down] * 5_000
    client.track(new_session(), "test", "event", {})
    while not closer.ident:
        time.sleep(0.001)
    closer.join()
    waits = [later - earlier for earlier, later in zip(gateway.arrived, gateway.arrived[1:])]
    assert waits[7] > 10 > 1 > waits[8]
    assert 9 < len(gateway.arrived) <= 9 + MOST_REQUESTS
    assert clock.now >= 1_000 + OUTAGE
    assert client.stats().lost == {"exit": 1}
