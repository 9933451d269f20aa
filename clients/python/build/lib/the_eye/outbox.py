"""The bounded outbox: events go in without waiting, a daemon thread sends them in batches.

One request is on the wire at a time, so a session's events arrive in the order they were tracked. A
request without a final answer is sent again, under the same event ids, for as long as the outbox lives.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import random
import sys
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from .buffer import Batch, Buffer
from .stats import Stats, add
from .transport import Answer, Transport

if sys.platform != "win32":
    from .spool import Segment, Spool

log = logging.getLogger("the_eye")

FIRST_BACKOFF, MAX_BACKOFF, MAX_RETRY_AFTER = 0.2, 30.0, 300.0
RETRYABLE_STATUS = frozenset({401, 403, 404, 408, 425, 429})
"""Beside every 5xx. A key that is registered, or an address that is repaired, a minute late costs nothing."""
RETRYABLE_EVENT = frozenset({"queue_full", "brokers_slow", "brokers_refused"})
"""Errors in a receipt that say nothing about the event itself."""
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
            # Somebody's left events may be waiting, even if this process never has any.
            with self._lock:
                self._start_thread()

    def _begin(self) -> None:
        self._lock = threading.RLock()  # re-entrant: a signal handler may track, too
        self._work = threading.Condition(self._lock)
        self._settled = threading.Condition(self._lock)
        self._stats = Stats()
        self._buffer = self._open_buffer()
        self._thread: threading.Thread | None = None
        self._putting = False
        self._interrupting: deque[bytes] = deque()
        self._flush_to = 0
        self._closing = False
        self._abandoned = False
        self._deadline = float("inf")
        self._look_for_orphans_at = float("-inf")
        self._failing = False
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
        """Wait until all that is waiting now has met its end, ``timeout`` seconds at most."""
        with self._lock:
            self._flush_to = target = self._stats.accepted + self._stats.recovered
            self._work.notify()
            return self._settled.wait_for(lambda: self._settled_count() >= target, timeout)

    def close(self, timeout: float) -> None:
        """Send what is waiting for ``timeout`` seconds at most, then count the rest as lost (or, with a
        spool, leave it there)."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            self._deadline = time.monotonic() + timeout
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
        while True:
            batch = None
            try:
                self._adopt_orphans()
                batch = self._next_batch()
                if batch is None:
                    return
                self._deliver(batch)
            except Exception:
                log.exception("the eye: this is a fault of the client library")
                time.sleep(1.0)  # so that one that stays costs no processor
                if batch is not None:
                    self._settle(lost=("internal", batch.count))
                    self._done(batch)

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
                if due is not None and (
                    now >= due or self._closing or self._settled_count() < self._flush_to
                ):
                    return buffer.take()
                if self._closing:
                    return None
                self._work.wait(None if due is None else due - now)
            return None

    def _deliver(self, batch: Batch | Segment) -> None:
        """Send a batch until every event of it has met its end, or the outbox is closed."""
        try:
            lines = batch.read()
        except OSError:
            lines = []
        if len(lines) < batch.count:
            self._settle(lost=("spool_error", batch.count - len(lines)))
        todo = [lines] if lines else []
        failures = 0
        while todo:
            timeout = min(self._limits.timeout, self._deadline - time.monotonic())
            if timeout <= 0:
                return
            chunk = todo.pop()
            try:
                answer = self._transport.post(_body(chunk), timeout)
                unsettled = self._account(answer, chunk)
                problem = f"HTTP {answer.status}"
            except (OSError, http.client.HTTPException) as error:
                answer, unsettled = None, chunk
                problem = type(error).__name__
            if answer is not None and answer.status == 413 and unsettled:
                middle = len(chunk) // 2
                todo += [chunk[middle:], chunk[:middle]]
                continue
            if unsettled:
                todo.append(unsettled)
                failures += 1
                self._note(f"no receipt ({problem}), trying again")
                self._pause(failures, answer.retry_after if answer else None)
            else:
                failures = 0
                self._note(None)
        self._done(batch)

    def _account(self, answer: Answer, chunk: list[bytes]) -> list[bytes]:
        """Count what the answer settles; the events that must be sent again."""
        if answer.status in (202, 400):
            receipts = _receipts(answer.body)
            if receipts is not None and len(receipts) == len(chunk):
                again = []
                for line, receipt in zip(chunk, receipts):
                    error = receipt.get("error")
                    code = None if error is None else str(error.get("code", "unknown"))
                    if code is None:
                        self._settle(delivered=1)
                    elif code in RETRYABLE_EVENT:
                        again.append(line)
                    else:
                        self._settle(rejected=(code, 1))
                return again
            if answer.status == 202:
                return chunk  # an answer that is not the gateway's, or was cut short
        if answer.status == 413 and len(chunk) == 1:
            self._settle(rejected=("too_large", 1))
            return []
        if answer.status == 413 or answer.status in RETRYABLE_STATUS or not 400 <= answer.status < 500:
            return chunk
        self._settle(rejected=(f"http_{answer.status}", len(chunk)))
        return []

    def _settle(
        self, *, delivered: int = 0, rejected: tuple[str, int] = ("", 0), lost: tuple[str, int] = ("", 0)
    ) -> None:
        with self._lock:
            if self._abandoned:
                return  # already counted by close()
            stats = self._stats
            stats.delivered += delivered
            for counts, (reason, count) in ((stats.rejected, rejected), (stats.lost, lost)):
                if count:
                    add(counts, reason, count)
            stats.waiting -= delivered + rejected[1] + lost[1]
            self._settled.notify_all()

    def _done(self, batch: Batch | Segment) -> None:
        with self._lock:
            if not self._abandoned:
                self._buffer.done(batch)  # type: ignore[arg-type]  # a buffer gets back what it gave

    def _settled_count(self) -> int:
        return self._stats.accepted + self._stats.recovered - self._stats.waiting

    def _pause(self, failures: int, retry_after: float | None) -> None:
        """Wait before the next try: as the gateway asks, else exponentially longer, with jitter."""
        backoff = min(MAX_BACKOFF, FIRST_BACKOFF * 2 ** min(failures - 1, 16)) * random.uniform(0.5, 1.0)
        asked = None if retry_after is None else min(retry_after, MAX_RETRY_AFTER) + random.uniform(0, 0.1)
        begin = time.monotonic()
        with self._lock:
            self._stats.retries += 1
            while not self._abandoned:
                wait = backoff if asked is None else asked
                if self._closing and asked is None:
                    wait = min(wait, FIRST_BACKOFF)
                left = min(begin + wait, self._deadline) - time.monotonic()
                if left <= 0:
                    return
                self._work.wait(left)

    def _note(self, problem: str | None) -> None:
        """Say once when sending begins to fail and when it works again, and now and then what was
        dropped. Only here, because a log handler may block."""
        if problem is not None and not self._failing:
            log.warning("the eye: %s", problem)
        elif problem is None and self._failing:
            log.info("the eye: sending again")
        self._failing = problem is not None
        dropped = sum(self._stats.dropped.values())
        now = time.monotonic()
        if dropped > self._logged_drops and now - self._logged_at > LOG_EVERY:
            log.warning("the eye: %d events dropped so far: %s", dropped, dict(self._stats.dropped))
            self._logged_drops, self._logged_at = dropped, now

    # Threads and processes.

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run, name="the-eye", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:
            self._thread = None  # the next event tries again, and close() does without
            return
        multiprocessing = sys.modules.get("multiprocessing")
        if multiprocessing is not None and multiprocessing.parent_process() is not None:
            # Such a child ends without running atexit.
            from multiprocessing.util import Finalize

            Finalize(None, self.close, args=(5.0,), exitpriority=100)

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


def _receipts(body: bytes) -> list[dict[str, dict[str, object]]] | None:
    try:
        receipts = json.loads(body)["receipts"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(receipts, list) or not all(
        isinstance(receipt, dict) and isinstance(receipt.get("error", {}), dict) for receipt in receipts
    ):
        return None
    return receipts


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
