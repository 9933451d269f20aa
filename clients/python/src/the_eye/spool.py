"""Events that wait on disk, so that a killed process loses none of those it accepted.

The spool is a directory of batches: each ``<owner>-<number>.ndjson`` is the events of one request,
appended as they are tracked and removed when the gateway has answered for all of them. ``<owner>.lock``
is locked for as long as the owner lives. A process that can lock the file of another owner sends the
events that this one left behind. Sending a batch twice does no harm: event ids are in the file.

A line is in the kernel before ``track`` returns, so ``kill -9`` loses nothing; it is not synced to
the disk, so a power cut may lose the last seconds.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from collections import deque
from contextlib import suppress
from pathlib import Path


class Segment:
    """A batch in a file."""

    __slots__ = ("born", "count", "failures", "owner", "path", "retry_at", "size")

    def __init__(self, path: Path, owner: Orphan | None) -> None:
        self.path = path
        self.owner = owner
        self.count = 0
        self.size = 0
        self.born = time.monotonic()
        self.failures = 0
        """How often it could not be read."""
        self.retry_at = 0.0

    def read(self) -> list[bytes]:
        """The whole lines of the file. A line cut short was never accepted."""
        return [
            line
            for line in self.path.read_bytes().split(b"\n")
            if line.startswith(b"{") and line.endswith(b"}")
        ]


class Orphan:
    """An owner that died, locked by us until the last of its segments is done."""

    def __init__(self, lock_path: Path, lock_fd: int) -> None:
        self.lock_path = lock_path
        self.lock_fd = lock_fd
        self.segments: list[Segment] = []


class Spool:
    """The same interface as :class:`~the_eye.buffer.Buffer`, bounded by bytes, for one process."""

    survives = True

    def __init__(self, directory: str, *, max_bytes: int, batch_events: int, batch_bytes: int) -> None:
        self._directory = Path(directory)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._max_bytes = max_bytes
        self._batch_events = batch_events
        self._batch_bytes = batch_bytes
        while True:
            self._owner = uuid.uuid4().hex
            self._lock_path = self._directory / f"{self._owner}.lock"
            self._lock_fd = os.open(self._lock_path, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX)
            if os.fstat(self._lock_fd).st_nlink:
                break
            # Between our open and our lock another process took the file for a dead one's, and removed it.
            os.close(self._lock_fd)
        self._number = 0
        self._full: deque[Segment] = deque()
        self._open: Segment | None = None
        self._open_fd = -1
        self._unread: list[Segment] = []
        self._bytes = 0
        self.pending: set[Segment] = set()
        self._orphans: list[Orphan] = []

    def put(self, line: bytes) -> str | None:
        """Append an event to the open segment; the reason if it had to be dropped."""
        size = len(line) + 1
        if self._bytes + size > self._max_bytes:
            return "buffer_full"
        try:
            segment = self._segment_for(size)
            try:
                if os.write(self._open_fd, line + b"\n") != size:
                    raise OSError("short write")
            except OSError:
                # The event is dropped, so no part of it may stay before the next one.
                os.ftruncate(self._open_fd, segment.size)
                raise
        except OSError:
            return "spool_error"
        segment.count += 1
        segment.size += size
        self._bytes += size
        if segment.count >= self._batch_events:
            self.finish_open()
        return None

    @property
    def has_full(self) -> bool:
        now = time.monotonic()
        self._full += [segment for segment in self._unread if segment.retry_at <= now]
        self._unread = [segment for segment in self._unread if segment.retry_at > now]
        return bool(self._full)

    @property
    def retry_at(self) -> float | None:
        return min((segment.retry_at for segment in self._unread), default=None)

    @property
    def open_since(self) -> float | None:
        return self._open.born if self._open else None

    def take(self) -> Segment | None:
        if not self._full:
            self.finish_open()
        return self._full.popleft() if self._full else None

    def put_aside(self, segment: Segment, wait: float) -> None:
        """The segment can't be read now: take it again after ``wait`` seconds. The others are not held up."""
        segment.failures += 1
        segment.retry_at = time.monotonic() + wait
        self._unread.append(segment)

    def done(self, segment: Segment) -> None:
        """Every event of the segment has its fate: remove the file."""
        self.pending.discard(segment)
        self._bytes -= segment.size
        try:
            segment.path.unlink(missing_ok=True)
        except OSError:
            return  # its owner stays locked, so that only a later process sends it again, by the same ids
        orphan = segment.owner
        if orphan is not None:
            orphan.segments.remove(segment)
            if not orphan.segments:
                self._orphans.remove(orphan)
                _let_go(orphan.lock_path, orphan.lock_fd)

    def find_orphans(self) -> list[Orphan]:
        """Lock what dead owners left in this directory. Reads files: call it without the client's lock."""
        known = {self._lock_path, *(orphan.lock_path for orphan in self._orphans)}
        orphans = []
        for lock_path in sorted(self._directory.glob("*.lock")):
            lock_fd = None if lock_path in known else _try_lock(lock_path)
            if lock_fd is None:
                continue
            orphan = Orphan(lock_path, lock_fd)
            for path in sorted(self._directory.glob(f"{lock_path.stem}-*.ndjson")):
                segment = Segment(path, orphan)
                # One that can't be read now stays, and is looked at again later.
                with suppress(OSError):
                    segment.count = len(segment.read())
                    segment.size = path.stat().st_size
                    if segment.count:
                        orphan.segments.append(segment)
                    else:
                        path.unlink()
            if orphan.segments:
                orphans.append(orphan)
            else:
                _let_go(lock_path, lock_fd)
        return orphans

    def adopt(self, orphans: list[Orphan]) -> int:
        """Queue them before our own events, which are younger; how many events that is."""
        segments = [segment for orphan in orphans for segment in orphan.segments]
        self._orphans += orphans
        self._full.extendleft(reversed(segments))
        self.pending.update(segments)
        self._bytes += sum(segment.size for segment in segments)
        return sum(segment.count for segment in segments)

    def close(self) -> None:
        """Let go of everything; what is left in the directory waits for a later process."""
        self.finish_open()
        for orphan in self._orphans:
            os.close(orphan.lock_fd)
        self._orphans.clear()
        _let_go(self._lock_path, self._lock_fd)

    def abandon_inherited(self) -> None:
        """In a forked child: close the parent's descriptors and touch none of its files."""
        for fd in [self._lock_fd, self._open_fd, *(o.lock_fd for o in self._orphans)]:
            if fd >= 0:
                os.close(fd)

    def _segment_for(self, size: int) -> Segment:
        if self._open is not None and self._open.size + size > self._batch_bytes:
            self.finish_open()
        if self._open is None:
            self._number += 1
            path = self._directory / f"{self._owner}-{self._number:012}.ndjson"
            self._open_fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
            self._open = Segment(path, None)
            self.pending.add(self._open)
        return self._open

    def finish_open(self) -> None:
        segment, fd = self._open, self._open_fd
        if segment is not None:
            self._open, self._open_fd = None, -1
            if segment.count:
                self._full.append(segment)
            else:
                self.pending.discard(segment)
            # What the disk did not take after all is found missing when the segment is read.
            with suppress(OSError):
                os.close(fd)
                if not segment.count:
                    segment.path.unlink()


def _try_lock(path: Path) -> int | None:
    try:
        fd = os.open(path, os.O_RDWR)
    except OSError:
        # It is gone; or another user's, which is not ours to send.
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    if os.fstat(fd).st_nlink == 0:
        # Another process has sent the rest and removed the file between our open and our lock.
        os.close(fd)
        return None
    return fd


def _let_go(lock_path: Path, lock_fd: int) -> None:
    # Removed while still locked: nobody can adopt an owner that has nothing left. While it has, the lock
    # stays, for without it nobody would find the rest.
    if not any(lock_path.parent.glob(f"{lock_path.stem}-*.ndjson")):
        with suppress(OSError):
            lock_path.unlink()
    os.close(lock_fd)
