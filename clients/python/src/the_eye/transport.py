"""One keep-alive connection to the gateway."""

from __future__ import annotations

import gzip
import http.client
import os
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from .answer import retry_after

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""A receipt is about 100 bytes; more than this is not our gateway."""


@dataclass
class Answer:
    status: int
    retry_after: float
    """Seconds the gateway asked us to wait."""
    body: bytes


class Transport:
    """Posts bodies to ``<url>/events``. Used by one thread at a time."""

    def __init__(self, url: str, key: str, *, gzip_over: int) -> None:
        try:
            parts = urlsplit(url)
            self._port = parts.port
            self._host = parts.hostname or ""
            good = bool(self._host.encode("idna")) and _is_plain(parts.path) and " " not in parts.path
        except ValueError:
            good = False
        if not good or parts.scheme not in ("http", "https"):
            # The error must not show the value: it may be the key, if the caller has mixed up the two.
            raise ValueError("url (or EYE_URL) must be like https://eye.example.com") from None
        if not _is_plain(key):
            raise ValueError("key (or EYE_KEY) has a character that no HTTP header carries")
        self._https = parts.scheme == "https"
        self._path = parts.path.rstrip("/") + "/events"
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/x-ndjson",
            "User-Agent": "the-eye-python/0.1.0",
        }
        self._gzip_over = gzip_over
        self._connection: http.client.HTTPConnection | None = None

    def post(self, body: bytes, timeout: float) -> Answer:
        """Send one body. Raises ``OSError`` or ``http.client.HTTPException`` when there is no answer."""
        headers = self._headers
        if len(body) > self._gzip_over:
            body = gzip.compress(body, compresslevel=1)
            headers = {**headers, "Content-Encoding": "gzip"}
        reused = self._connection is not None
        try:
            return self._exchange(body, headers, timeout)
        except (ConnectionError, http.client.RemoteDisconnected):
            # The server may close an idle connection at any time; that is no outage.
            if not reused:
                raise
            return self._exchange(body, headers, timeout)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def abandon_inherited(self) -> None:
        """In a forked child: let go of the parent's connection without a word to the server.

        ``close`` could wait for ever: the parent's thread may hold the lock of the response's buffer.
        """
        connection, self._connection = self._connection, None
        if connection is not None and connection.sock is not None:
            os.close(connection.sock.detach())

    def _exchange(self, body: bytes, headers: dict[str, str], timeout: float) -> Answer:
        if self._connection is None:
            self._connection = self._connect(timeout)
        connection = self._connection
        try:
            connection.timeout = timeout
            if connection.sock is not None:
                connection.sock.settimeout(timeout)
            connection.request("POST", self._path, body, headers)
            response = connection.getresponse()
            answer = response.read(MAX_ANSWER_BYTES)
            if response.will_close or not response.isclosed():
                self.close()
            return Answer(response.status, retry_after(response.headers.get("Retry-After")), answer)
        except BaseException:
            self.close()
            raise

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        if self._https:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout)


def _is_plain(text: str) -> bool:
    """Whether it can stand in a request as it is."""
    return text.isascii() and text.isprintable()
