"""The bounded outbox: events go in without waiting, a daemon thread sends them in batches.

One request is on the wire at a time, so a session's events arrive in the order they were tracked. A
request without a final answer is sent again, under the same event ids, for as long as the outbox lives.
"""

from __future__ import annotations

import http.client
import logging
import os
import random
import sys
import threading
import time
import traceback
import weakref
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from .answer import Fate, fates
from .buffer import Batch, Buffer
from .stats import Stats, add
from .transport import Transport
from .workers import at_worker_end

if sys.platform != "win32":
    from .spool import Segment, Spool

log = logging.getLogger("the_eye")

FIRST_BACKOFF, MAX_BACKOFF, MAX_RETRY_AFTER = 0.2, 30.0, 300.0
LOG_EVERY, LOOK_FOR_ORPHANS_EVERY = 60.0, 60.0


@dataclass(frozen=True)
class Limits:
    """See :class:`~the_eye.client.Client` for what each means."""

    batch_events: int
    batch_bytes: int
    buffer_events: int
    buffer_bytes: int
    flush_interval: float
    timeout: float
    close_timeout: float
    spool: str | None
    spool_bytes: int


class Outbox:
    """Every method may be called from any thread; none raises."""

    def __init__(self, transport: Transport, limits: Limits) -> None:
        self._transport = transport
        self._limits = limits
        self._begin()
        _outboxes.add(self)
        if self._buffer.survives:
            # Events of a process that ended may be waiting, even if this process never has any.
            with self._lock:
                self._start_thread()

    def _begin(self) -> None:
        self._lock = threading.RLock()  # re-entrant: a signal handler may track, too
        self._work = threading.Condition(self._lock)
        self._settled = threading.Condition(self._lock)
        self._stats = Stats()
        self._buffer = self._open_buffer()
        self._thread: threading.Thread | None = None
        self._batch: Batch | Segment | None = None
        self._chunks: list[list[bytes]] = []  # of the batch; the next one to send is the last
        self._failures = 0  # since the last request that went well
        self._putting = False
        self._interrupting: deque[bytes] = deque()
        self._closing = False
        self._abandoned = False
        self._deadline = float("inf")
        self._look_for_orphans_at = float("-inf")
        self._logged_drops = 0
        self._logged_at = float("-inf")

    def put(self, line: bytes) -> bool:
        """Keep one event for sending. False if it had to be dropped, which is counted."""
        with self._lock:
            if self._putting:
                # A signal handler has interrupted this very method, on this thread.
                self._interrupting.append(line)
                return True
            self._putting = True
            try:
                kept = self._put(line)
                while self._interrupting:
                    self._put(self._interrupting.popleft())
            finally:
                self._putting = False
            return kept

    def _put(self, line: bytes) -> bool:
        if self._closing:
            add(self._stats.dropped, "closed")
            return False
        buffer = self._buffer
        open_before = buffer.open_since
        reason = buffer.put(line)
        if reason is not None:
            add(self._stats.dropped, reason)
            return False
        self._stats.accepted += 1
        self._stats.waiting += 1
        if buffer.open_since != open_before:
            self._work.notify()  # a batch was begun or filled
        if self._thread is None:
            self._start_thread()
        return True

    def drop(self, reason: str) -> None:
        """Count an event that is not even offered."""
        with self._lock:
            add(self._stats.dropped, reason)

    def stats(self) -> Stats:
        with self._lock:
            s = self._stats
            return replace(s, rejected=dict(s.rejected), lost=dict(s.lost), dropped=dict(s.dropped))

    def flush(self, timeout: float) -> bool:
        """Wait until each event that is waiting now has its fate, ``timeout`` seconds at most."""
        with self._lock:
            buffer = self._buffer
            if not self._putting:  # else a signal handler has interrupted it: the batch goes a little later
                buffer.finish_open()
            asked: set[Batch | Segment] = {*buffer.pending}
            self._work.notify()
            self._settled.wait_for(lambda: self._abandoned or asked.isdisjoint(buffer.pending), timeout)
            return asked.isdisjoint(buffer.pending) or not self._stats.waiting

    def close(self, timeout: float | None = None) -> None:
        """Send what is waiting for ``timeout`` seconds at most, then count the rest as lost (or, with a
        spool, leave it there)."""
        if timeout is None:
            timeout = self._limits.close_timeout
        with self._lock:
            if self._closing:
                return
            self._closing = True
            self._deadline = time.monotonic() + timeout
            self._failures = min(self._failures, 1)  # there is little time: the pauses start small again
            self._work.notify()
            thread = self._thread
        if thread is not None and thread.is_alive():
            thread.join(timeout + 0.1)
        elif self._stats.waiting:
            self._run()  # threads can't be started any more when the interpreter ends
        with self._lock:
            self._abandoned = True
            if self._stats.waiting and not self._buffer.survives:
                add(self._stats.lost, "exit", self._stats.waiting)
                self._stats.waiting = 0
            self._buffer.close()
            self._settled.notify_all()
        if thread is None or not thread.is_alive():
            self._transport.close()

    # What follows runs on the background thread.

    def _run(self) -> None:
        while not self._abandoned and time.monotonic() < self._deadline:
            try:
                if not self._load():
                    return
                problem, asked = self._send()
            except Exception as error:
                # An exception says nothing about the events: they stay, and are sent again.
                problem, asked = _name(error), 0.0
            self._note(problem)
            if problem is None:
                self._failures = 0
            else:
                self._pause(asked)

    def _load(self) -> bool:
        """Take the next batch if there is nothing to send. False at the end: there is no batch any more."""
        while not self._chunks:
            self._adopt_orphans()
            batch = self._batch = self._next_batch()
            if batch is None:
                return False
            try:
                lines = batch.read()
            except FileNotFoundError:
                lines = []
            except Exception as error:
                self._put_aside(batch, error)
                continue
            if len(lines) < batch.count:
                self._settle([], lost=batch.count - len(lines))
            if lines:
                self._chunks = [lines]
            else:
                self._done(batch)
        return True

    def _put_aside(self, segment: Batch | Segment, error: Exception) -> None:
        assert isinstance(segment, Segment) and isinstance(self._buffer, Spool)
        if not segment.failures:
            with suppress(Exception):  # as in _note
                log.warning("the eye: a file of the spool can't be read (%s), trying again", _name(error))
        with self._lock:
            self._buffer.put_aside(segment, min(MAX_BACKOFF, FIRST_BACKOFF * 2 ** min(segment.failures, 16)))

    def _adopt_orphans(self) -> None:
        buffer = self._buffer
        if not isinstance(buffer, Buffer) and time.monotonic() >= self._look_for_orphans_at:
            self._look_for_orphans_at = time.monotonic() + LOOK_FOR_ORPHANS_EVERY
            orphans = buffer.find_orphans()
            if orphans:
                with self._lock:
                    events = buffer.adopt(orphans)
                    self._stats.recovered += events
                    self._stats.waiting += events

    def _next_batch(self) -> Batch | Segment | None:
        with self._lock:
            while not self._abandoned:
                buffer, now = self._buffer, time.monotonic()
                if buffer.has_full:
                    return buffer.take()
                born = buffer.open_since
                due = None if born is None else born + self._limits.flush_interval
                if due is not None and (now >= due or self._closing):
                    return buffer.take()
                if self._closing:
                    return None
                until = min((at for at in (due, buffer.retry_at) if at is not None), default=None)
                self._work.wait(None if until is None else until - now)
            return None

    def _send(self) -> tuple[str | None, float]:
        """Send the oldest chunk: what went wrong, and for how many seconds the gateway asks to wait."""
        chunk = self._chunks[-1]
        timeout = min(self._limits.timeout, max(self._deadline - time.monotonic(), 0.001))
        answer = self._transport.post(_body(chunk), timeout)
        if answer.status == 413 and len(chunk) > 1:
            middle = len(chunk) // 2
            self._chunks[-1:] = [chunk[middle:], chunk[:middle]]
            return None, 0.0
        ends = fates(answer.status, answer.body, len(chunk))
        again = [line for line, fate in zip(chunk, ends) if fate is None]
        self._settle(ends)
        if again:
            self._chunks[-1] = again
            return f"HTTP {answer.status}", answer.retry_after
        self._chunks.pop()
        if not self._chunks and self._batch is not None:
            self._done(self._batch)
        return None, 0.0

    def _settle(self, ends: list[Fate], lost: int = 0) -> None:
        with self._lock:
            if self._abandoned:
                return  # already counted by close()
            stats = self._stats
            for fate in ends:
                if fate == "":
                    stats.delivered += 1
                elif fate is not None:
                    add(stats.rejected, fate)
            if lost:
                add(stats.lost, "spool_error", lost)
            stats.waiting -= len(ends) - ends.count(None) + lost

    def _done(self, batch: Batch | Segment) -> None:
        with self._lock:
            if not self._abandoned:
                self._buffer.done(batch)  # type: ignore[arg-type]  # a buffer gets back what it gave
                self._settled.notify_all()

    def _pause(self, asked: float) -> None:
        """Wait before the next try: exponentially longer, with jitter, but not less than the gateway asks."""
        asked = min(asked, MAX_RETRY_AFTER) * random.uniform(1.0, 1.1)
        jitter = random.uniform(0.5, 1.0)
        begin = time.monotonic()
        with self._lock:
            self._stats.retries += 1
            self._failures += 1
            while not self._abandoned:
                backoff = min(MAX_BACKOFF, FIRST_BACKOFF * 2 ** min(self._failures - 1, 16)) * jitter
                left = min(begin + max(backoff, asked), self._deadline) - time.monotonic()
                if left <= 0:
                    return
                self._work.wait(left)

    def _note(self, problem: str | None) -> None:
        """Say once when sending begins to fail and when it works again, and now and then what was
        dropped. Only here, because a log handler may block."""
        dropped = sum(self._stats.dropped.values())
        now = time.monotonic()
        with suppress(Exception):  # a handler or filter of the application may raise, too
            if problem is not None and not self._failures:
                log.warning("the eye: no receipt (%s), trying again", problem)
            elif problem is None and self._failures:
                log.info("the eye: sending again")
            if dropped > self._logged_drops and now - self._logged_at > LOG_EVERY:
                self._logged_drops, self._logged_at = dropped, now
                log.warning("the eye: %d events dropped so far: %s", dropped, dict(self._stats.dropped))

    # Threads and processes.

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run, name="the-eye", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:
            self._thread = None  # the next event tries again, and close() does without
            return
        with suppress(Exception):  # an unsent event at the end is better than none from now on
            at_worker_end(self.close)

    def _open_buffer(self) -> Buffer | Spool:
        limits = self._limits
        if limits.spool is not None:
            try:
                return Spool(
                    limits.spool,
                    max_bytes=limits.spool_bytes,
                    batch_events=limits.batch_events,
                    batch_bytes=limits.batch_bytes,
                )
            except (OSError, NameError) as error:
                log.warning("the eye: no spool at %s (%s), buffering in memory", limits.spool, error)
        return Buffer(
            max_events=limits.buffer_events,
            max_bytes=limits.buffer_bytes,
            batch_events=limits.batch_events,
            batch_bytes=limits.batch_bytes,
        )

    def _after_fork_in_child(self) -> None:
        """The parent goes on sending what it has; the child begins with nothing."""
        if not isinstance(self._buffer, Buffer):
            self._buffer.abandon_inherited()
        self._transport.abandon_inherited()
        was_closed = self._closing
        self._begin()
        self._closing = was_closed


def _body(lines: list[bytes]) -> bytes:
    """NDJSON, with the time of this attempt in each event."""
    sent_at = datetime.now(timezone.utc).isoformat(timespec="microseconds")[:-6]
    end = b',"sent_at":"%sZ"}\n' % sent_at.encode()
    return b"".join([part for line in lines for part in (line[:-1], end)])


def _name(error: Exception) -> str:
    """Its kind, and its place where it is none of the network's; not its message, which may quote a header
    and so the key."""
    kind = type(error).__name__
    if isinstance(error, (OSError, http.client.HTTPException)):
        return kind
    return f"{kind}\n{''.join(traceback.format_tb(error.__traceback__))}"


_outboxes: weakref.WeakSet[Outbox] = weakref.WeakSet()
_held: list[Outbox] = []


def _before_fork() -> None:
    # So that the child gets every outbox between two events, not in the middle of one.
    _held[:] = list(_outboxes)
    for outbox in _held:
        outbox._lock.acquire()


def _after_fork_in_parent() -> None:
    for outbox in _held:
        outbox._lock.release()
    _held.clear()


def _after_fork_in_child() -> None:
    for outbox in _held:
        outbox._after_fork_in_child()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
