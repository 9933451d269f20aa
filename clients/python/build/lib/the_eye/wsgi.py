"""Page views of a WSGI application (PEP 3333)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Callable

from .client import Client
from .pages import PageVisit, Request


class EyeMiddleware:
    """Wraps an application: ``app = EyeMiddleware(app, client)``.

    Each page it answers with is recorded as a page view of the session in the cookie ``eye_session``,
    which is set when absent. The application finds the visit in ``environ["eye.visit"]``.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], client: Client) -> None:
        self._app = app
        self._client = client

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        visit = PageVisit(
            self._client,
            Request(
                method=environ["REQUEST_METHOD"],
                host=environ.get("HTTP_HOST") or environ["SERVER_NAME"],
                path=_text(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")) or "/",
                secure=environ["wsgi.url_scheme"] == "https",
                cookie=environ.get("HTTP_COOKIE", ""),
                purpose=environ.get("HTTP_SEC_PURPOSE", ""),
            ),
        )
        environ["eye.visit"] = visit

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            content_type = next((v for k, v in headers if k.lower() == "content-type"), "")
            cookie = visit.finish(int(status[:3]), content_type)
            if cookie is not None:
                headers = [*headers, ("Set-Cookie", cookie), ("Vary", "Cookie")]
            return start_response(status, headers, *exc_info)

        return self._app(environ, start)


def _text(wsgi_string: str) -> str:
    # WSGI hands over the bytes of the path as if they were Latin-1.
    return wsgi_string.encode("latin-1", "replace").decode("utf-8", "replace")
