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
OPENED = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
    "Sec-Fetch-Dest": "document",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36",
}
"""What a browser sends for an address that is opened."""

# One answer for each path, served by all four ways to run an application.
ANSWERS: dict[str, tuple[int, str]] = {
    "/": (200, "text/html; charset=utf-8"),
    "/é/a b": (200, "text/html"),
    "/a@b": (200, "text/html"),
    '/%?#"<>\\^`{|}[]': (200, "text/html"),
    "/style": (200, "text/css"),
    "/moved": (302, "text/html"),
    "/missing": (404, "text/html"),
    "/unchanged": (304, ""),
}


def view(request: Any, **_: Any) -> HttpResponse:
    status, content_type = ANSWERS[request.path]
    if "click" in request.META.get("QUERY_STRING", ""):
        request.eye.cta_click("chat bubble")
        request.eye.track("loyalty", "points redeemed", {"points": 250})
    request.eye.record = "skip" not in request.META.get("QUERY_STRING", "")
    return HttpResponse(b"", status=status, content_type=content_type)


urlpatterns = [path("", view), path("<path:rest>", view)]


def wsgi_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    status, content_type = ANSWERS[environ["PATH_INFO"].encode("latin-1").decode()]
    if "click" in environ["QUERY_STRING"]:
        environ["eye.visit"].cta_click("chat bubble")
        environ["eye.visit"].track("loyalty", "points redeemed", {"points": 250})
    environ["eye.visit"].record = "skip" not in environ["QUERY_STRING"]
    start_response(f"{status} X", [("Content-Type", content_type)])
    return [b""]


async def asgi_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    status, content_type = ANSWERS[scope["path"]]
    if b"click" in scope["query_string"]:
        scope["eye.visit"].cta_click("chat bubble")
        scope["eye.visit"].track("loyalty", "points redeemed", {"points": 250})
    scope["eye.visit"].record = b"skip" not in scope["query_string"]
    headers = [(b"content-type", content_type.encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


Answer = tuple[int, list[str]]
"""A status, and the cookies that were set."""


def get_wsgi(
    app: Any, path: str, query: str, method: str, headers: dict[str, str], raw: str | None
) -> Answer:
    seen: list[Any] = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "shop.example.com",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        **({} if raw is None else {"RAW_URI": f"{raw}?{query}"}),
        **{"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()},
    }
    b"".join(app(environ, lambda status, headers, *_: seen.append((status, headers))))
    status, answered = seen[0]
    return int(status[:3]), [value.strip() for name, value in answered if name == "Set-Cookie"]


def get_asgi(
    app: Any, path: str, query: str, method: str, headers: dict[str, str], raw: str | None
) -> Answer:
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
        **({} if raw is None else {"raw_path": raw.encode()}),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(app(scope, receive, send))
    start = sent[0]
    return start["status"], [v.decode() for k, v in start["headers"] if k.lower() == b"set-cookie"]


@pytest.fixture(params=["wsgi", "asgi", "django_wsgi", "django_asgi"])
def site(request: Any, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Any:
    client = Client(gateway.url, "k", flush_interval=0.01)
    monkeypatch.setattr(the_eye.django, "client", lambda: client)
    make, get = {
        "wsgi": (lambda **options: wsgi.EyeMiddleware(wsgi_app, client, **options), get_wsgi),
        "asgi": (lambda **options: asgi.EyeMiddleware(asgi_app, client, **options), get_asgi),
        "django_wsgi": (lambda **_: WSGIHandler(), get_wsgi),
        "django_asgi": (lambda **_: ASGIHandler(), get_asgi),
    }[request.param]

    def visit(
        path: str,
        query: str = "",
        method: str = "GET",
        raw: str | None = None,
        options: Any = (),
        **headers: str | None,
    ) -> Answer:
        """As a browser opens it, unless ``headers`` say otherwise: one that is None is not sent."""
        for name, value in dict(options).items():
            monkeypatch.setattr(settings, f"THE_EYE_{name.upper()}", value, raising=False)
        named = {**OPENED, "Host": "shop.example.com"}
        named.update({name.replace("_", "-"): value for name, value in headers.items()})  # type: ignore[misc]
        sent = {name: value for name, value in named.items() if value is not None}
        return get(make(**dict(options)), path, query, method, sent, raw)

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


def test_the_cookie_keeps_the_session(site: Any, gateway: Gateway) -> None:
    _, [cookie] = site("/", Cookie=f"a=b; eye_session={SESSION}; c=d")
    assert cookie.startswith(f"eye_session={SESSION};")
    assert events(gateway, 1) == [(SESSION, "pageview", {"host": "shop.example.com", "path": "/"})]


@pytest.mark.parametrize("forged", ["", "x", "0" * 36, "{" + SESSION + "}", f"urn:uuid:{SESSION}", "é"])
def test_a_cookie_that_is_no_session_is_replaced(site: Any, gateway: Gateway, forged: str) -> None:
    _, [cookie] = site("/", Cookie=f"eye_session={forged}")
    session = cookie.partition("=")[2].partition(";")[0]
    assert session != SESSION
    assert events(gateway, 1)[0][0] == session


def test_an_event_of_a_view_has_the_same_session_and_comes_first(site: Any, gateway: Gateway) -> None:
    site("/", "click", Cookie=f"eye_session={SESSION}")
    place = {"host": "shop.example.com", "path": "/"}
    assert events(gateway, 3) == [
        (SESSION, "cta click", {**place, "element": "chat bubble"}),
        (SESSION, "points redeemed", {"points": 250}),
        (SESSION, "pageview", place),
    ]


PAGES: dict[str, dict[str, str | None]] = {
    "opened": {},
    "by an old browser": {"Sec_Fetch_Dest": None},
    "in an Android app": {"X_Requested_With": "com.example.app"},
    "on a telephone": {"User_Agent": "Mozilla/5.0 (Linux; Android 9; CUBOT_X19) Mobile Safari/537.36"},
}


@pytest.mark.parametrize("path", ["/", "/unchanged"])
@pytest.mark.parametrize("case", PAGES)
def test_a_document_that_somebody_opens_is_a_page(site: Any, gateway: Gateway, path: str, case: str) -> None:
    assert site(path, **PAGES[case])[1] != []
    assert [data["path"] for _, _, data in events(gateway, 1)] == [path]


OLD: dict[str, str | None] = {"Sec_Fetch_Dest": None}
NO_PAGES: dict[str, dict[str, str | None]] = {
    **{f"for {what}": {"Sec_Fetch_Dest": what} for what in ("style", "image", "script", "empty", "iframe")},
    "an old browser's image": {**OLD, "Accept": "image/avif,image/webp,*/*;q=0.8"},
    "an old browser's style": {**OLD, "Accept": "text/css,*/*;q=0.1"},
    "an old browser's fetch": {**OLD, "Accept": "*/*"},
    "no browser": {**OLD, "Accept": None},
    "Sec-Purpose": {"Sec_Purpose": "prefetch;prerender"},
    "Purpose": {"Purpose": "prefetch"},
    "X-Purpose": {"X_Purpose": "preview"},
    "X-Moz": {"X_Moz": "prefetch"},
    "HTMX": {**OLD, "HX_Request": "true"},
    "Turbo frame": {**OLD, "Turbo_Frame": "messages"},
    "XHR": {**OLD, "X_Requested_With": "XMLHttpRequest"},
    "crawler": {"User_Agent": "Mozilla/5.0 (compatible; bingbot/2.0)"},
    "crawler with an address": {"User_Agent": "Mozilla/5.0 (compatible; Look/1; +https://look.example)"},
}


@pytest.mark.parametrize("path", ["/", "/unchanged"])
@pytest.mark.parametrize("case", NO_PAGES)
def test_a_request_that_opens_no_page_records_nothing_and_sets_no_cookie(
    site: Any, gateway: Gateway, path: str, case: str
) -> None:
    assert site(path, **NO_PAGES[case])[1] == []
    site("/a@b")  # sent after it, if it was sent
    assert [data["path"] for _, _, data in events(gateway, 1)] == ["/a@b"]


def test_an_answer_that_is_no_page_is_none(site: Any, gateway: Gateway) -> None:
    for other in ("/style", "/moved", "/missing"):
        assert site(other)[1] == []
    assert site("/", method="POST")[1] == []
    assert site("/", method="HEAD")[1] == []
    assert site("/", "skip")[1] == []
    site("/a@b")
    assert [data["path"] for _, _, data in events(gateway, 1)] == ["/a@b"]


def test_crawlers_are_recorded_on_request(site: Any, gateway: Gateway) -> None:
    assert site("/", options={"crawlers": True}, User_Agent="Googlebot/2.1")[1] != []
    assert len(events(gateway, 1)) == 1


@pytest.mark.parametrize(
    ("path", "raw", "spelled"),
    [
        ("/é/a b", None, "/%C3%A9/a%20b"),
        ("/é/a b", "/%C3%A9/a%20b", "/%C3%A9/a%20b"),
        ("/é/a b", "/%c3%a9/a%20b", "/%c3%a9/a%20b"),
        ("/a@b", None, "/a@b"),
        ("/a@b", "/a%40b", "/a%40b"),
        ("/a@b", "/rewritten/a%40b", "/a@b"),
        # By Chromium's new URL(..).pathname.
        ('/%?#"<>\\^`{|}[]', None, "/%25%3F%23%22%3C%3E%5C%5E%60%7B|%7D[]"),
    ],
)
def test_a_path_is_spelled_as_the_browser_does(
    site: Any, gateway: Gateway, path: str, raw: str | None, spelled: str
) -> None:
    site(path, "click", raw=raw)
    assert [data["path"] for _, _, data in events(gateway, 3) if "path" in data] == [spelled, spelled]


def test_a_path_of_the_application_is_spelled_alike(gateway: Gateway) -> None:
    with Client(gateway.url, "k") as client:
        for path in ("/é/a b", "/%C3%A9/a%20b", "/100% a", "/é?q=a b#c", "", "/\ud800"):
            client.pageview(SESSION, "h", path)
    spelled = ["/%C3%A9/a%20b", "/%C3%A9/a%20b", "/100%%20a", "/%C3%A9?q=a%20b#c", "/", "/?"]
    assert [data["path"] for _, _, data in events(gateway, 6)] == spelled


def test_a_key_that_is_none_stops_the_start_of_a_site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "THE_EYE", {"url": "http://127.0.0.1:9", "key": "a\nb"}, raising=False)
    the_eye.django.client.cache_clear()
    with pytest.raises(ValueError, match="EYE_KEY"):
        WSGIHandler().load_middleware()


def test_other_asgi_scopes_pass_through(gateway: Gateway) -> None:
    seen = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    with Client(gateway.url, "k") as client:
        asyncio.run(asgi.EyeMiddleware(app, client)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == ["lifespan"]
