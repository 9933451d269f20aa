"""Which responses are page views, and the cookie that carries the session."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from .client import Client
from .visit import Visit

COOKIE = "eye_session"
"""The browser client uses the same cookie, so that a page and its server share a session."""
MAX_AGE = 30 * 60
"""Seconds without a page view after which a session ends."""


@dataclass(frozen=True)
class Request:
    """What the middlewares read from a request of their framework."""

    method: str
    host: str
    path: str
    secure: bool
    cookie: str
    """The value of the Cookie header, all of it."""
    purpose: str = ""
    """``Sec-Purpose``: a browser that fetches a page nobody has asked for says ``prefetch``."""


class PageVisit(Visit):
    """A visit that knows how its request ends. ``request.eye`` in Django, ``eye.visit`` elsewhere."""

    __slots__ = ("_request", "record")

    def __init__(self, client: Client, request: Request) -> None:
        super().__init__(client, session_of(request.cookie), request.host, request.path)
        self._request = request
        self.record = True
        """Set it to False for a page that is not to be recorded, or that records itself in the browser."""

    def finish(self, status: int, content_type: str) -> str | None:
        """Record the page view if the response is one; then the ``Set-Cookie`` value to answer with.

        Only pages set the cookie: a style sheet or an image with one could not be cached.
        """
        request = self._request
        is_page = 200 <= status < 300 and content_type.lower().startswith("text/html")
        if (
            not self.record
            or request.method != "GET"
            or "prefetch" in request.purpose
            or not (is_page or status == 304)
        ):
            return None
        self.pageview()
        secure = "; Secure" if request.secure else ""
        return f"{COOKIE}={self.session_id}; Path=/; Max-Age={MAX_AGE}; SameSite=Lax{secure}"


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
