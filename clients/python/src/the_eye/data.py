"""What the events of a web page hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

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
