"""The middlewares record pages, and nothing but pages, with the session of the request."""

from __future__ import annotations

import asyncio
import io
import time
import uuid
from typing import Any, Callable

import django
import pytest
from django.conf import settings
from faulty import Gateway

from the_eye import Client, asgi, wsgi

settings.configure(
    ALLOWED_HOSTS=["*"], MIDDLEWARE=["the_eye.django.EyeMiddleware"], ROOT_URLCONF=__name__, SECRET_KEY="test"
)
django.setup()

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.urls import path

import the_eye.django

SESSION = "e2085be5-9137-4e4e-80b5-f1ffddc25423"

# One answer for each path, served by all four ways to run an application.
ANSWERS: dict[str, tuple[int, str]] = {
    "/": (200, "text/html; charset=utf-8"),
    "/é/": (200, "text/html"),
    "/style": (200, "text/css"),
    "/moved": (302, "text/html"),
    "/missing": (404, "text/html"),
    "/unchanged": (304, ""),
}


def view(request: Any, **_: Any) -> HttpResponse:
    status, content_type = ANSWERS[request.path]
    if "click" in request.META.get("QUERY_STRING", ""):
        request.eye.cta_click("chat bubble")
    request.eye.record = "skip" not in request.META.get("QUERY_STRING", "")
    return HttpResponse(b"", status=status, content_type=content_type)


urlpatterns = [path("", view), path("<path:rest>", view)]


def wsgi_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    status, content_type = ANSWERS[environ["PATH_INFO"].encode("latin-1").decode()]
    if "click" in environ["QUERY_STRING"]:
        environ["eye.visit"].cta_click("chat bubble")
    environ["eye.visit"].record = "skip" not in environ["QUERY_STRING"]
    start_response(f"{status} X", [("Content-Type", content_type)])
    return [b""]


async def asgi_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    status, content_type = ANSWERS[scope["path"]]
    if b"click" in scope["query_string"]:
        scope["eye.visit"].cta_click("chat bubble")
    scope["eye.visit"].record = b"skip" not in scope["query_string"]
    headers = [(b"content-type", content_type.encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


Answer = tuple[int, list[str]]
"""A status, and the cookies that were set."""


def get_wsgi(app: Any, path: str, query: str, method: str, headers: dict[str, str]) -> Answer:
    seen: list[Any] = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "shop.example.com",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        **{"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()},
    }
    b"".join(app(environ, lambda status, headers, *_: seen.append((status, headers))))
    status, answered = seen[0]
    return int(status[:3]), [value.strip() for name, value in answered if name == "Set-Cookie"]


def get_asgi(app: Any, path: str, query: str, method: str, headers: dict[str, str]) -> Answer:
    sent: list[Any] = []
    asked: list[bool] = []

    async def receive() -> dict[str, Any]:
        if not asked:
            asked.append(True)
            return {"type": "http.request", "body": b"", "more_body": False}
        return await asyncio.get_running_loop().create_future()  # the client stays connected

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "scheme": "http",
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(app(scope, receive, send))
    start = sent[0]
    return start["status"], [v.decode() for k, v in start["headers"] if k.lower() == b"set-cookie"]


@pytest.fixture(params=["wsgi", "asgi", "django_wsgi", "django_asgi"])
def site(request: Any, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Any:
    client = Client(gateway.url, "k", flush_interval=0.01)
    monkeypatch.setattr(the_eye.django, "client", lambda: client)
    app, get = {
        "wsgi": lambda: (wsgi.EyeMiddleware(wsgi_app, client), get_wsgi),
        "asgi": lambda: (asgi.EyeMiddleware(asgi_app, client), get_asgi),
        "django_wsgi": lambda: (WSGIHandler(), get_wsgi),
        "django_asgi": lambda: (ASGIHandler(), get_asgi),
    }[request.param]()

    def visit(path: str, query: str = "", method: str = "GET", **headers: str) -> Answer:
        named = {"Host": "shop.example.com", **{name.replace("_", "-"): v for name, v in headers.items()}}
        return get(app, path, query, method, named)

    yield visit
    client.close()
    assert client.stats().dropped == {}


def events(gateway: Gateway, count: int) -> list[tuple[str, str, Any]]:
    deadline = time.monotonic() + 10
    while len(gateway.log) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    return [(event["session_id"], event["name"], event["data"]) for event in gateway.log]


def test_a_page_is_recorded_and_begins_a_session(site: Any, gateway: Gateway) -> None:
    status, [cookie] = site("/")
    assert status == 200
    name, _, rest = cookie.strip().partition("=")
    session, *attributes = rest.split("; ")
    assert name == "eye_session"
    assert str(uuid.UUID(session)) == session
    assert {a.lower() for a in attributes if not a.startswith("expires")} == {
        "path=/",
        "max-age=1800",
        "samesite=lax",
    }
    assert events(gateway, 1) == [(session, "pageview", {"host": "shop.example.com", "path": "/"})]


def test_the_session_of_the_cookie_goes_on(site: Any, gateway: Gateway) -> None:
    _, [cookie] = site("/é/", Cookie=f"a=b; eye_session={SESSION}; c=d")
    assert cookie.startswith(f"eye_session={SESSION};")
    assert events(gateway, 1) == [(SESSION, "pageview", {"host": "shop.example.com", "path": "/é/"})]


@pytest.mark.parametrize("forged", ["", "x", "0" * 36, "{" + SESSION + "}", f"urn:uuid:{SESSION}", "é"])
def test_a_cookie_that_is_no_session_is_replaced(site: Any, gateway: Gateway, forged: str) -> None:
    _, [cookie] = site("/", Cookie=f"eye_session={forged}")
    session = cookie.partition("=")[2].partition(";")[0]
    assert session != SESSION
    assert events(gateway, 1)[0][0] == session


def test_what_a_view_tracks_has_the_same_session_and_comes_first(site: Any, gateway: Gateway) -> None:
    site("/", "click", Cookie=f"eye_session={SESSION}")
    place = {"host": "shop.example.com", "path": "/"}
    assert events(gateway, 2) == [
        (SESSION, "cta click", {**place, "element": "chat bubble"}),
        (SESSION, "pageview", place),
    ]


def test_only_pages_are_recorded(site: Any, gateway: Gateway) -> None:
    for other in ("/style", "/moved", "/missing"):
        assert site(other)[1] == []
    assert site("/", method="POST")[1] == []
    assert site("/", method="HEAD")[1] == []
    assert site("/", Sec_Purpose="prefetch;prerender")[1] == []
    assert site("/", "skip")[1] == []
    assert site("/unchanged")[1] != []
    assert [data["path"] for _, _, data in events(gateway, 1)] == ["/unchanged"]


def test_other_asgi_scopes_pass_through(gateway: Gateway) -> None:
    seen = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    with Client(gateway.url, "k") as client:
        asyncio.run(asgi.EyeMiddleware(app, client)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == ["lifespan"]
