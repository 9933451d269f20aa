"""Events that wait in memory, already cut into the batches in which they will be sent."""

from __future__ import annotations

import time
from collections import deque


class Batch:
    """Some events, each one line of JSON without its line end."""

    __slots__ = ("born", "lines", "size")

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.size = 0
        self.born = time.monotonic()

    @property
    def count(self) -> int:
        return len(self.lines)

    def read(self) -> list[bytes]:
        return self.lines


class Buffer:
    """A bounded queue of batches. Not locked: the client holds its lock around every call."""

    survives = False
    """Whether a later process can send the events that are left at the end."""
    retry_at: float | None = None
    """When to read a batch again that could not be read; none of those in memory."""

    def __init__(self, *, max_events: int, max_bytes: int, batch_events: int, batch_bytes: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._batch_events = batch_events
        self._batch_bytes = batch_bytes
        self._full: deque[Batch] = deque()
        self._open: Batch | None = None
        self._events = 0
        self._bytes = 0
        self.pending: set[Batch] = set()
        """All batches with events that have no fate yet, also the one that is being filled."""

    def put(self, line: bytes) -> str | None:
        """Keep an event; the reason if it had to be dropped."""
        size = len(line)
        if self._events >= self._max_events or self._bytes + size > self._max_bytes:
            return "buffer_full"
        if self._open is not None and self._open.size + size > self._batch_bytes:
            self.finish_open()
        if self._open is None:
            self._open = Batch()
            self.pending.add(self._open)
        batch = self._open
        batch.lines.append(line)
        batch.size += size
        self._events += 1
        self._bytes += size
        if len(batch.lines) >= self._batch_events:
            self.finish_open()
        return None

    def finish_open(self) -> None:
        """Put no more events into the batch that is being filled."""
        if self._open is not None:
            self._full.append(self._open)
            self._open = None

    @property
    def has_full(self) -> bool:
        return bool(self._full)

    @property
    def open_since(self) -> float | None:
        """When the batch that is being filled got its first event (``time.monotonic``)."""
        return self._open.born if self._open else None

    def take(self) -> Batch | None:
        """The oldest batch, full or not. It counts against the bounds until :meth:`done`."""
        if not self._full:
            self.finish_open()
        return self._full.popleft() if self._full else None

    def done(self, batch: Batch) -> None:
        """Every event of the batch has its fate: forget the batch."""
        self.pending.discard(batch)
        self._events -= batch.count
        self._bytes -= batch.size

    def close(self) -> None:
        """Nothing to release."""
