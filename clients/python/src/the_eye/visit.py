"""The events of a web page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from .client import Client


class Visit:
    """What one request knows: its session, host and path, percent-encoded as in a browser's
    ``location.pathname``. The middlewares attach one to the request."""

    __slots__ = ("_client", "host", "path", "session_id")

    def __init__(self, client: Client, session_id: str, host: str, path: str) -> None:
        self._client = client
        self.session_id = session_id
        self.host = host
        self.path = path

    def track(self, category: str, name: str, data: Mapping[str, Any]) -> str | None:
        """Any event of this session; ``data`` is sent as it is."""
        return self._client.track(self.session_id, category, name, data)

    def pageview(self) -> str | None:
        return self._client.pageview(self.session_id, self.host, self.path)

    def cta_click(self, element: str) -> str | None:
        return self._client.cta_click(self.session_id, self.host, self.path, element)

    def form_submit(
        self, form: Mapping[str, Any] | Iterable[str] = (), *, with_values: bool = False
    ) -> str | None:
        return self._client.form_submit(self.session_id, self.host, self.path, form, with_values=with_values)


IN_A_PATH = "/!$&'()*+,:;=@[]|"
"""Beside letters, digits and ``-._~``: what a browser's ``location.pathname`` shows as it is."""


def pageview_data(host: str, path: str) -> dict[str, Any]:
    # Spelled as the browser does, so that a page is one page whoever records it. A query is for the event
    # type to leave out.
    spelled = quote(path, IN_A_PATH + "%?#", errors="replace")
    # Cut to what the event type takes: a long address is no reason to lose its page view.
    return {"host": host[:261], "path": spelled[:2048] or "/"}


def cta_click_data(host: str, path: str, element: str) -> dict[str, Any]:
    return {**pageview_data(host, path), "element": element[:255]}


def form_submit_data(
    host: str, path: str, form: Mapping[str, Any] | Iterable[str], with_values: bool
) -> dict[str, Any]:
    if with_values:
        if not isinstance(form, Mapping):
            raise TypeError("with_values needs a mapping of field names to values")
        fields = {str(name): value for name, value in form.items()}
    else:
        fields = {str(name): "" for name in form}
    return {**pageview_data(host, path), "form": fields}
