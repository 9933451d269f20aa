"""The running pipeline, and a way to it that can be made to fail."""

from __future__ import annotations

import http.client
import json
import os
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

DEADLINE = 60.0


@dataclass(frozen=True)
class Pipeline:
    url: str
    key: str
    query_url: str

    @classmethod
    def from_environment(cls) -> Pipeline:
        missing = [name for name in ("EYE_URL", "EYE_KEY", "EYE_QUERY_URL") if not os.environ.get(name)]
        if missing:
            pytest.fail(
                f"{', '.join(missing)} not set: these tests need a running pipeline, as"
                " `target/debug/eye with -- make test-python` starts one (`make unit-clients` needs none)",
                pytrace=False,
            )
        return cls(os.environ["EYE_URL"], os.environ["EYE_KEY"], os.environ["EYE_QUERY_URL"])

    def get(self, path: str) -> Any:
        """The answer of the query API; ``None`` if it is 404."""
        try:
            with urllib.request.urlopen(self.query_url + path, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                raise AssertionError(f"GET {path}: {error.code} {error.read().decode()}") from None

    def fate(self, event_id: str) -> Any:
        """The verdict on an event, as soon as there is one."""
        return self._eventually(f"a verdict on {event_id}", lambda: self.get(f"/v1/events/{event_id}"))

    def timeline(self, session: str, count: int) -> list[str]:
        """The ids of the accepted events of a session, in its order, when there are ``count`` of them."""

        def read() -> list[str] | None:
            answer = self.get(f"/v1/sessions/{session}?limit=10000")
            ids = [event["event_id"] for event in answer["events"]] if answer else []
            return ids if len(ids) >= count else None

        ids: list[str] = self._eventually(f"{count} events of session {session}", read)
        return ids

    @staticmethod
    def _eventually(what: str, read: Any) -> Any:
        deadline = time.monotonic() + DEADLINE
        while (found := read()) is None:
            assert time.monotonic() < deadline, f"no {what} after {DEADLINE:.0f} s"
            time.sleep(0.05)
        return found


class FaultyWay:
    """Stands between a client and the real gateway. ``faults`` are taken by one request each:

    ``pass``; ``503`` and ``429``, answered without the gateway's knowledge; ``lost``: the gateway appends
    and its answer gets lost, which a client can't tell from a request that never arrived.
    """

    def __init__(self, url: str) -> None:
        self.faults: list[str] = []
        self.taken: list[str] = []
        self.target = urlsplit(url)
        self._lock = threading.Lock()
        self._up()

    def _up(self, port: int = 0) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
        self._server.daemon_threads = True
        self._server.way = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def down_for(self, seconds: float) -> None:
        """Refuse every connection for a while."""
        self.close()
        time.sleep(seconds)
        self._up(self.port)

    def next_fault(self) -> str:
        with self._lock:
            fault = self.faults.pop(0) if self.faults else "pass"
            self.taken.append(fault)
            return fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        way: FaultyWay = self.server.way  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fault = way.next_fault()
        self.close_connection = True
        if fault in ("503", "429"):
            self.send_response(int(fault))
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        gateway = http.client.HTTPConnection(way.target.hostname or "", way.target.port, timeout=30)
        gateway.request("POST", self.path, body, {**self.headers, "Connection": "close"})
        answer = gateway.getresponse()
        content = answer.read()
        gateway.close()
        if fault == "lost":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() in ("content-type", "retry-after"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass
