"""Which responses are page views, and the cookie that carries the session."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Callable
from urllib.parse import quote, unquote_to_bytes

from .client import Client
from .data import IN_A_PATH
from .visit import Visit

COOKIE = "eye_session"
"""The browser client uses the same cookie, so that a page and its server share a session."""
MAX_AGE = 30 * 60
"""Seconds without a page view after which a session ends."""

CRAWLER = re.compile(r"(?<!cu)bot(?![a-z])|crawl|spider|slurp|facebookexternalhit|https?://", re.IGNORECASE)
"""Nearly all that name themselves do so by one of these, or by an address to read about them. Cubot makes
telephones."""
PREFETCH = re.compile(r"prefetch|prerender|preview", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """What the middlewares read from a request of their framework."""

    method: str
    host: str
    path: str
    secure: bool
    header: Callable[[str], str]
    """The value of a header, or ``""``."""

    def is_for_a_page(self, crawlers: bool) -> bool:
        """Whether a person opens a page: not what it is made of, no part of it, and not ahead of time."""
        header = self.header
        destination = header("Sec-Fetch-Dest")
        return (
            self.method == "GET"
            # Old browsers do not say what it is for, and none says so over http. They ask for HTML by name
            # when an address is opened, and not for what scripts, styles and images are loaded from.
            and (destination == "document" or (not destination and "text/html" in header("Accept")))
            and not any(
                PREFETCH.search(header(name)) for name in ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
            )
            and not header("HX-Request")
            and not header("Turbo-Frame")
            # An Android app that shows a page puts its own name there.
            and header("X-Requested-With") != "XMLHttpRequest"
            and (crawlers or not CRAWLER.search(header("User-Agent")))
        )


class PageVisit(Visit):
    """A visit that knows how its request ends. ``request.eye`` in Django, ``eye.visit`` elsewhere."""

    __slots__ = ("_request", "_wanted", "record")

    def __init__(self, client: Client, request: Request, crawlers: bool) -> None:
        super().__init__(client, session_of(request.header("Cookie")), request.host, request.path)
        self._request = request
        self._wanted = request.is_for_a_page(crawlers)
        self.record = True
        """Set it to False for a page that is not to be recorded, or that records itself in the browser."""

    def finish(self, status: int, content_type: str) -> str | None:
        """Record the page view if the response is one; then the ``Set-Cookie`` value to answer with.

        Only pages set the cookie: a style sheet or an image with one could not be cached.
        """
        is_page = content_type.lower().startswith(("text/html", "application/xhtml+xml"))
        # The page that a browser has kept comes without its type.
        is_kept = status == 304 and (is_page or not content_type)
        if not (self.record and self._wanted and (is_kept or (is_page and 200 <= status < 300))):
            return None
        self.pageview()
        secure = "; Secure" if self._request.secure else ""
        return f"{COOKIE}={self.session_id}; Path=/; Max-Age={MAX_AGE}; SameSite=Lax{secure}"


def pathname(path: bytes, raw: bytes = b"") -> str:
    """The path as the browser shows it: as it was sent (``raw``), if nothing on the way has changed it; else
    the decoded ``path`` that servers hand over, encoded again."""
    if raw and unquote_to_bytes(raw).decode("utf-8", "replace") == path.decode("utf-8", "replace"):
        return quote(raw, IN_A_PATH + "%")
    return quote(path or b"/", IN_A_PATH)


def session_of(cookie_header: str) -> str:
    """The session in the cookie, or a new one: whatever else the cookie holds is nobody's session."""
    for pair in cookie_header.split(";"):
        name, _, value = pair.partition("=")
        if name.strip() == COOKIE:
            try:
                session = str(uuid.UUID(value.strip()))
            except ValueError:
                continue
            if session == value.strip().lower():
                return session
    return str(uuid.uuid4())
