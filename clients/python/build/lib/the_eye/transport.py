"""One keep-alive connection to the gateway."""

from __future__ import annotations

import email.utils
import gzip
import http.client
import os
import ssl
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""A receipt is about 100 bytes; more than this is not our gateway."""


@dataclass
class Answer:
    status: int
    retry_after: float | None
    """Seconds the gateway asked us to wait."""
    body: bytes


class Transport:
    """Posts bodies to ``<url>/events``. Used by one thread at a time."""

    def __init__(self, url: str, key: str, *, gzip_over: int) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url must be like https://eye.example.com, not {url!r}")
        self._https = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port
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
            retry_after = _seconds(response.headers.get("Retry-After"))
            if response.will_close or not response.isclosed():
                self.close()
            return Answer(response.status, retry_after, answer)
        except BaseException:
            self.close()
            raise

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        if self._https:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout)


def _seconds(value: str | None) -> float | None:
    """``Retry-After``: a number of seconds or a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    try:
        return max(0.0, float(int(value)))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
