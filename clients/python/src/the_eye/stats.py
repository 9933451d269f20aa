"""The fates of events: every call of ``track`` ends in exactly one of these counts."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Stats:
    """Counts since the client was made (in a forked child: since the fork).

    Always ``accepted + recovered == delivered + rejected + lost + waiting``. An event that ``track`` itself
    refused is in ``dropped`` and was never accepted.
    """

    accepted: int = 0
    """Events for which ``track`` returned an event id."""
    recovered: int = 0
    """Events found in the spool of a process that ended before it had sent them."""
    delivered: int = 0
    """Events the gateway gave a receipt for: they are in the log."""
    rejected: dict[str, int] = field(default_factory=dict)
    """Events the gateway refused for good, by its error code."""
    lost: dict[str, int] = field(default_factory=dict)
    """Accepted events given up: ``exit`` (unsent when the client closed), ``spool_error`` (gone from the
    disk)."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Events never accepted: ``buffer_full``, ``invalid``, ``too_large``, ``closed``, ``spool_error``."""
    retries: int = 0
    """Requests sent again, whatever the reason."""
    waiting: int = 0
    """Events in the buffer, in the spool or on the wire."""


def add(counts: dict[str, int], reason: str, count: int = 1) -> None:
    counts[reason] = counts.get(reason, 0) + count
