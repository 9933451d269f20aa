"""Page views of an ASGI application (ASGI 3)."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Callable

from .client import Client
from .pages import PageVisit, Request, pathname

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class EyeMiddleware:
    """Wraps an application: ``app = EyeMiddleware(app, client)``.

    Each page it answers with is recorded as a page view of the session in the cookie ``eye_session``,
    which is set when absent. The application finds the visit in ``scope["eye.visit"]``. Crawlers that
    name themselves are left out without ``crawlers=True``.
    """

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        client: Client,
        *,
        crawlers: bool = False,
    ) -> None:
        self._app = app
        self._client = client
        self._crawlers = crawlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        def header(name: str) -> str:
            field = name.lower().encode()
            # HTTP/2 may split the cookie over several fields (RFC 9113, 8.2.3).
            return b"; ".join(v for k, v in scope["headers"] if k == field).decode("latin-1")

        request = Request(
            method=scope["method"],
            host=header("Host"),
            path=pathname(scope["path"].encode("utf-8", "replace"), scope.get("raw_path") or b""),
            secure=scope.get("scheme") == "https",
            header=header,
        )
        visit = PageVisit(self._client, request, self._crawlers)

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                content_type = next((v for k, v in headers if k.lower() == b"content-type"), b"")
                cookie = visit.finish(message["status"], content_type.decode("latin-1"))
                if cookie is not None:
                    headers += [(b"set-cookie", cookie.encode("latin-1")), (b"vary", b"Cookie")]
                    message = {**message, "headers": headers}
            await send(message)

        await self._app({**scope, "eye.visit": visit}, receive, send_with_cookie)
