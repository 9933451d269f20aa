"""A gateway that misbehaves on purpose, in ways the real one can't be made to show on demand.

It is a real HTTP server on a real socket. What it appends is the log of the test: a fault may strike
before an event is appended or after, as between a client and a real gateway.
"""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable


class Gateway:
    """``faults`` are taken by one request each, in order; when there are none left all is well."""

    def __init__(self) -> None:
        self.faults: list[Callable[[Handler], bool]] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.arrived: list[float] = []
        self.log: list[dict[str, Any]] = []
        self.released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.gateway = self  # type: ignore[attr-defined]
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def ids(self) -> list[str]:
        """The event ids in the log, first copies only: later ones are judged duplicates."""
        return list(dict.fromkeys(event["event_id"] for event in self.log))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        gateway: Gateway = self.server.gateway  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        gateway.arrived.append(time.monotonic())
        gateway.bodies.append(body)
        gateway.headers.append(dict(self.headers))
        self.body = body
        if gateway.faults and gateway.faults.pop(0)(self):
            return
        self.append_and_answer()

    def append_and_answer(self) -> None:
        self.answer(202, {"receipts": self.append()})

    def append(self) -> list[dict[str, Any]]:
        gateway: Gateway = self.server.gateway  # type: ignore[attr-defined]
        receipts = []
        for line in self.body.splitlines():
            event = json.loads(line)
            gateway.log.append(event)
            receipts.append({"event_id": event["event_id"], "partition": 0, "offset": len(gateway.log) - 1})
        return receipts

    def answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def reset(self) -> None:
        """End the connection by a TCP reset, as a crashed host does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


def status(code: int, retry_after: str | None = None, body: Any = b"") -> Callable[[Handler], bool]:
    def fault(handler: Handler) -> bool:
        handler.answer(code, body, {} if retry_after is None else {"Retry-After": retry_after})
        return True

    return fault


def reset(*, after_append: bool) -> Callable[[Handler], bool]:
    def fault(handler: Handler) -> bool:
        if after_append:
            handler.append()
        handler.reset()
        return True

    return fault


def hang(handler: Handler) -> bool:
    """Append, and never answer."""
    handler.append()
    handler.server.gateway.released.wait()  # type: ignore[attr-defined]
    handler.close_connection = True
    return True


def cut_short(handler: Handler) -> bool:
    """Append, and end the connection in the middle of the receipts."""
    content = json.dumps({"receipts": handler.append()}).encode()
    handler.send_response(202)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    handler.reset()
    return True


def too_large_over(lines: int) -> Callable[[Handler], bool]:
    def fault(handler: Handler) -> bool:
        if len(handler.body.splitlines()) <= lines:
            return False
        handler.answer(413, {"code": "body_too_large"})
        return True

    return fault


def receipt_errors(errors: dict[int, str]) -> Callable[[Handler], bool]:
    """Refuse the events at these places of the batch with these codes."""

    def fault(handler: Handler) -> bool:
        events = handler.body.splitlines()
        receipts = []
        for place, line in enumerate(events):
            if place in errors:
                receipts.append({"error": {"code": errors[place], "message": "no", "field": None}})
            else:
                handler.body = line
                receipts += handler.append()
        handler.answer(202 if len(errors) < len(events) else 400, {"receipts": receipts})
        return True

    return fault


def new_session() -> str:
    return str(uuid.uuid4())
