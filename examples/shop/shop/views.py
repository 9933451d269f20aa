"""Three pages whose events the server sends, and one whose events the browser sends."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import ensure_csrf_cookie


@ensure_csrf_cookie
def index(request: HttpRequest) -> HttpResponse:
    """A page view: the middleware records it, as it does for every page below."""
    return render(request, "index.html")


def chat(request: HttpRequest) -> HttpResponse:
    """A click on the chat bubble leads here."""
    request.eye.cta_click("chat bubble")
    return render(request, "chat.html")


def send(request: HttpRequest) -> HttpResponse:
    """A form. The names of its fields are recorded, not what was typed."""
    if request.method == "POST":
        request.eye.form_submit(name for name in request.POST if name != "csrfmiddlewaretoken")
        return redirect("/send?thanks")
    return render(request, "send.html", {"thanks": "thanks" in request.GET})


def in_the_browser(request: HttpRequest) -> HttpResponse:
    """The same three events, recorded by the script of the page: nothing is left for the server to do."""
    request.eye.record = False
    gateway = {"url": settings.THE_EYE["url"], "key": settings.EYE_BROWSER_KEY}
    return render(request, "in_the_browser.html", {"gateway": gateway})
