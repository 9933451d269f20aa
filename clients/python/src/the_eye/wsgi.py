"""Page views of a WSGI application (PEP 3333)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable

from .client import Client
from .pages import PageVisit, Request, pathname


class EyeMiddleware:
    """Wraps an application: ``app = EyeMiddleware(app, client)``.

    Each page it answers with is recorded as a page view of the session in the cookie ``eye_session``,
    which is set when absent. The application finds the visit in ``environ["eye.visit"]``. Crawlers that
    name themselves are left out without ``crawlers=True``.
    """

    def __init__(
        self, app: Callable[..., Iterable[bytes]], client: Client, *, crawlers: bool = False
    ) -> None:
        self._app = app
        self._client = client
        self._crawlers = crawlers

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # WSGI hands over the bytes of the path as if they were Latin-1.
        path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1", "replace")
        request = Request(
            method=environ["REQUEST_METHOD"],
            host=environ.get("HTTP_HOST") or environ["SERVER_NAME"],
            path=pathname(path, raw_path(environ)),
            secure=environ["wsgi.url_scheme"] == "https",
            header=lambda name: environ.get("HTTP_" + name.upper().replace("-", "_"), ""),
        )
        visit = PageVisit(self._client, request, self._crawlers)
        environ["eye.visit"] = visit

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            content_type = next((v for k, v in headers if k.lower() == "content-type"), "")
            cookie = visit.finish(int(status[:3]), content_type)
            if cookie is not None:
                headers = [*headers, ("Set-Cookie", cookie), ("Vary", "Cookie")]
            return start_response(status, headers, *exc_info)

        return self._app(environ, start)


def raw_path(environ: dict[str, Any]) -> bytes:
    """The path as it was sent, if the server tells it."""
    # By the first name from gunicorn, by the second from uWSGI and mod_wsgi.
    uri = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    return uri.partition("?")[0].encode("latin-1", "replace")
