"""The events of one request to a web page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

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
