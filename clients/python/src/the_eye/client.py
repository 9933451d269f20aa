"""What an application calls."""

from __future__ import annotations

import atexit
import json
import os
import random
import time
import uuid
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from types import TracebackType
from typing import Any, Callable, Union

from .data import cta_click_data, form_submit_data, pageview_data
from .outbox import Limits, Outbox
from .stats import Stats
from .transport import Transport
from .visit import Visit

SessionId = Union[str, uuid.UUID]


class Client:
    """Sends events to the gateway at ``url`` for the application that owns ``key``.

    Make one for the process and share it: it is safe to use from every thread, from coroutines, from
    signal handlers and after a fork. Apart from this constructor nothing raises, and nothing waits
    unless its name says so (:meth:`flush`, :meth:`close`).

    :param url: the gateway, such as ``https://eye.example.com``; default the variable ``EYE_URL``
    :param key: the application's key; default the variable ``EYE_KEY``. White space around both is cut off
    :param batch_events: events in one request, at most
    :param batch_bytes: bytes of JSON in one request, at most (one larger event travels alone)
    :param flush_interval: seconds an event waits for others to share its request
    :param buffer_events: events held in memory, at most; later ones are dropped and counted
    :param buffer_bytes: bytes held in memory, at most
    :param max_event_bytes: a larger event is dropped and counted
    :param timeout: seconds until a request without an answer is given up and sent again
    :param close_timeout: seconds that the end of the process may wait for the last events
    :param gzip_over: a body of more bytes than this is compressed
    :param spool: a directory in which events wait instead of in memory; what a killed process
        had accepted is sent by the next one with the same spool (POSIX only)
    :param spool_bytes: bytes on disk, at most, for each process
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        batch_events: int = 500,
        batch_bytes: int = 512 * 1024,
        flush_interval: float = 0.5,
        buffer_events: int = 10_000,
        buffer_bytes: int = 16 * 1024 * 1024,
        max_event_bytes: int = 256 * 1024,
        timeout: float = 10.0,
        close_timeout: float = 5.0,
        gzip_over: int = 4096,
        spool: str | None = None,
        spool_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        # A secret that is mounted as a file, or read from one, often ends in a line feed.
        url = (url or os.environ.get("EYE_URL", "")).strip()
        key = (key or os.environ.get("EYE_KEY", "")).strip()
        if not url or not key:
            raise ValueError("The Eye needs a url and a key: pass them, or set EYE_URL and EYE_KEY")
        limits = Limits(
            batch_events=batch_events,
            batch_bytes=batch_bytes,
            buffer_events=buffer_events,
            buffer_bytes=buffer_bytes,
            flush_interval=flush_interval,
            timeout=timeout,
            close_timeout=close_timeout,
            spool=spool,
            spool_bytes=spool_bytes,
        )
        self._outbox = Outbox(Transport(url, key, gzip_over=gzip_over), limits)
        self._max_event_bytes = max_event_bytes
        atexit.register(self.close)

    def track(
        self,
        session_id: SessionId,
        category: str,
        name: str,
        data: Mapping[str, Any],
        *,
        timestamp: datetime | None = None,
        event_id: SessionId | None = None,
    ) -> str | None:
        """Record that something happened, now or at ``timestamp`` (without a zone: UTC).

        ``data`` is serialised before this returns, so it may be changed afterwards. Returns the event's
        id, by which one can ask for its fate, or ``None`` if the event was dropped, which is counted.
        """
        try:
            id = _new_id() if event_id is None else str(event_id)
            event = {
                "event_id": id,
                "session_id": str(session_id),
                "category": category,
                "name": name,
                "timestamp": _now() if timestamp is None else _text(timestamp),
                "data": data if type(data) is dict else dict(data),
            }
            line = _encode(event).encode()
            if len(line) > self._max_event_bytes:
                self._outbox.drop("too_large")
                return None
            return id if self._outbox.put(line) else None
        except Exception:
            # A fault of an event must not reach the application.
            self._outbox.drop("invalid")
            return None

    def pageview(self, session_id: SessionId, host: str, path: str) -> str | None:
        """A page was seen."""
        return self._track_page(session_id, "page interaction", "pageview", pageview_data, host, path)

    def cta_click(self, session_id: SessionId, host: str, path: str, element: str) -> str | None:
        """A call to action was clicked, such as a button or a chat bubble."""
        return self._track_page(
            session_id, "page interaction", "cta click", cta_click_data, host, path, element
        )

    def form_submit(
        self,
        session_id: SessionId,
        host: str,
        path: str,
        form: Mapping[str, Any] | Iterable[str] = (),
        *,
        with_values: bool = False,
    ) -> str | None:
        """A form was sent. The names of its fields are recorded, what was typed only ``with_values``."""
        return self._track_page(
            session_id, "form interaction", "submit", form_submit_data, host, path, form, with_values
        )

    def _track_page(
        self, session_id: SessionId, category: str, name: str, data: Callable[..., dict[str, Any]], *args: Any
    ) -> str | None:
        try:
            return self.track(session_id, category, name, data(*args))
        except Exception:
            self._outbox.drop("invalid")
            return None

    def visit(self, session_id: SessionId, host: str, path: str) -> Visit:
        """The three methods above, for one session on one page."""
        return Visit(self, str(session_id), host, path)

    def stats(self) -> Stats:
        """The counts of the events so far, by fate."""
        return self._outbox.stats()

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until the gateway has answered for all events tracked before this call, ``timeout``
        seconds at most; whether it has."""
        return self._outbox.flush(timeout)

    def close(self, timeout: float | None = None) -> None:
        """Send what is waiting, for ``timeout`` seconds at most (default ``close_timeout``), then stop.
        The end of the process does this by itself."""
        atexit.unregister(self.close)
        self._outbox.close(timeout)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_second: tuple[int, str] = (-1, "")


def _now() -> str:
    """RFC 3339 with microseconds. The date is written once a second: ``isoformat`` takes 10 times as long."""
    global _second
    seconds, micros = divmod(time.time_ns() // 1000, 1_000_000)
    known, text = _second
    if seconds != known:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        _second = (seconds, text)
    return f"{text}.{micros:06}Z"


def _text(timestamp: datetime) -> str:
    if timestamp.tzinfo is not None:
        timestamp = timestamp.astimezone(timezone.utc).replace(tzinfo=None)
    return timestamp.isoformat(timespec="microseconds") + "Z"


# Seeded from the system and used for nothing else: an application that seeds `random` gets other ids all
# the same. Faster than uuid4(), which asks the system for every id.
_random = random.Random()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)


def _new_id() -> str:
    """A random UUID (version 4)."""
    digits = f"{_random.getrandbits(128):032x}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def _plain(value: object) -> object:
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, Decimal)):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


# NaN and lone surrogates are no JSON: such an event is dropped here rather than refused by the gateway.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode
