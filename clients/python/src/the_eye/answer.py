"""The fates of events, by the answer of the gateway."""

from __future__ import annotations

import email.utils
import json
import re
import time
from typing import Any, Optional

Fate = Optional[str]
"""Of one event: in the log (``""``), refused for a reason, or ``None``: to be sent again."""

RETRYABLE_STATUS = frozenset({401, 403, 404, 408, 425, 429})
"""Sent again, like every 5xx: a key registered late, or an address repaired late, loses no event."""
RETRYABLE_EVENT = frozenset({"queue_full", "brokers_slow", "brokers_refused"})
"""Errors in a receipt that say nothing about the event itself."""


def fates(status: int, body: bytes, count: int) -> list[Fate]:
    """The fates of the ``count`` events of a request.

    An event is refused for good only by an answer with a code. An answer without one is that of some other
    server on the way, and says nothing about the events. A 413 is the exception: a body that is too large
    for that server never arrives.
    """
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        answer = {}
    receipts: Any = answer.get("receipts")
    if status in (202, 400) and _are_receipts(receipts, count):
        return [_fate(receipt) for receipt in receipts]
    if status == 413:
        return ["too_large"] * count
    code = answer.get("code")
    final = 400 <= status < 500 and status not in RETRYABLE_STATUS and isinstance(code, str)
    return [code if final else None] * count


def _are_receipts(receipts: Any, count: int) -> bool:
    return (
        isinstance(receipts, list)
        and len(receipts) == count
        and all(isinstance(receipt, dict) for receipt in receipts)
        and all(isinstance(receipt.get("error", {}), dict) for receipt in receipts)
    )


def _fate(receipt: dict[str, Any]) -> Fate:
    if "error" not in receipt:
        return ""
    code = str(receipt["error"].get("code", "unknown"))
    return None if code in RETRYABLE_EVENT else code


def retry_after(value: str | None) -> float:
    """``Retry-After``, a number of seconds or a date (RFC 9110, 10.2.3), as seconds from now. 0 for any
    other text."""
    if value is None:
        return 0.0
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return float(value)  # of hundreds of digits: infinity, not an error as from int()
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0
