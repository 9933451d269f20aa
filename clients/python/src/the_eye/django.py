"""Page views of a Django site.

In the settings::

    MIDDLEWARE = ["the_eye.django.EyeMiddleware", ...]
    THE_EYE = {"url": "https://eye.example.com", "key": "..."}  # any argument of the_eye.Client
    THE_EYE_CRAWLERS = True  # if crawlers that name themselves are to be recorded, too

Views find the visit in ``request.eye``::

    request.eye.cta_click("chat bubble")
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable
from typing import Any, Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from .client import Client
from .pages import COOKIE, MAX_AGE, PageVisit, Request, pathname
from .wsgi import raw_path


@functools.cache
def client() -> Client:
    """The client of this process, made from ``settings.THE_EYE`` on first use."""
    return Client(**getattr(settings, "THE_EYE", {}))


class EyeMiddleware:
    """Records each page a view answers with; works under WSGI and ASGI."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._client = client()  # what is wrong with the settings stops the start, not each request
        self._crawlers = getattr(settings, "THE_EYE_CRAWLERS", False)
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        scope = getattr(request, "scope", None)  # under ASGI
        raw = raw_path(request.META) if scope is None else scope.get("raw_path") or b""
        asked = Request(
            method=request.method or "",
            # Not get_host(): an unknown host is Django's to refuse, not ours to raise about.
            host=request.META.get("HTTP_HOST") or request.META.get("SERVER_NAME", ""),
            path=pathname(request.path.encode("utf-8", "replace"), raw),
            secure=request.is_secure(),
            header=lambda name: request.headers.get(name, ""),
        )
        visit = request.eye = PageVisit(self._client, asked, self._crawlers)
        if iscoroutinefunction(self._get_response):
            return self._call_async(request, visit)
        return _finish(self._get_response(request), visit, request)

    async def _call_async(self, request: HttpRequest, visit: PageVisit) -> HttpResponse:
        return _finish(await self._get_response(request), visit, request)


def _finish(response: HttpResponse, visit: PageVisit, request: HttpRequest) -> HttpResponse:
    if visit.finish(response.status_code, response.get("Content-Type", "")) is not None:
        response.set_cookie(
            COOKIE, visit.session_id, max_age=MAX_AGE, secure=request.is_secure(), samesite="Lax"
        )
        patch_vary_headers(response, ["Cookie"])
    return response
