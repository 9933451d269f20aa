"""How long an application is held up by ``track``, beside a peer and the limit, in one run.

    python bench/track.py            # exits 1 if a 99th percentile of ours is 50 microseconds or more,
                                     # 2 if that of the limit is: then the machine is too busy to tell

The events are those of a web application: 300 bytes each. The gateway is a process of its own that
answers at once, so that the sender thread is as busy as it can be: it competes with the application
for the interpreter. ``limit`` is what any client must do before it returns (an id, the time, the JSON).
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import uuid
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable

from the_eye import Client

BUDGET_US = 50.0
DATA = {"host": "www.example.com", "path": "/products/42", "element": "chat bubble", "note": "x" * 60}


class Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip

            body = gzip.decompress(body)
        receipt = {"event_id": str(uuid.UUID(int=0)), "partition": 0, "offset": 0}
        answer = json.dumps({"status": 1, "receipts": [receipt] * body.count(b"\n")}).encode()
        self.send_response(202 if self.path == "/events" else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


def measure(call: Callable[[], Any], events: int, rate: float) -> dict[str, float]:
    """Call it ``events`` times at ``rate`` a second; microseconds, by the clock and of CPU."""
    took, cpu = [0.0] * events, [0] * events
    due = time.perf_counter()
    for n in range(events):
        due += 1 / rate
        while (now := time.perf_counter()) < due:
            pass  # the application computes, and holds the interpreter as it does
        busy = time.thread_time_ns()
        call()
        cpu[n] = time.thread_time_ns() - busy
        took[n] = time.perf_counter() - now
    took.sort()
    cpu.sort()
    place = {"p50": events // 2, "p99": events * 99 // 100, "p999": events * 999 // 1000}
    return {**{name: took[n] * 1e6 for name, n in place.items()}, "cpu99": cpu[place["p99"]] / 1e3}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=20_000, help="events for each case (default 20000)")
    parser.add_argument("--rate", type=float, default=2000.0, help="events a second (default 2000)")
    parser.add_argument("--sink", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.sink:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
        print(server.server_port, flush=True)
        server.serve_forever()
    sink = subprocess.Popen([sys.executable, __file__, "--sink"], stdout=subprocess.PIPE, text=True)
    try:
        assert sink.stdout is not None
        url = f"http://127.0.0.1:{int(sink.stdout.readline())}"
        session = str(uuid.uuid4())
        with tempfile.TemporaryDirectory() as spool:
            memory, disk = Client(url, "k"), Client(url, "k", spool=spool)
            cases: dict[str, Callable[[], Any]] = {
                "limit": lambda: json.dumps(
                    {
                        "event_id": str(uuid.uuid4()),
                        "session_id": session,
                        "data": DATA,
                        "timestamp": datetime.now(timezone.utc).isoformat(),
                    }
                ),
                "the_eye": lambda: memory.track(session, "page interaction", "cta click", DATA),
                "the_eye with a spool": lambda: disk.track(session, "page interaction", "cta click", DATA),
            }
            try:
                import posthog

                logging.disable(logging.CRITICAL)
                peer = posthog.Posthog("k", host=url)
                cases["posthog"] = lambda: peer.capture("cta click", distinct_id=session, properties=DATA)
            except ImportError:
                print("posthog is not installed (bench/requirements.txt): no peer", file=sys.stderr)
            gc.freeze()
            results = {}
            for name, call in cases.items():
                measure(call, 200, arguments.rate)
                results[name] = measure(call, arguments.events, arguments.rate)
            memory.close()
            disk.close()
        print(f"{arguments.events} events at {arguments.rate:.0f}/s, microseconds, {os.cpu_count()} cores")
        for name, took in results.items():
            ratio = took["p50"] / results["limit"]["p50"]
            print(
                f"{name:22} p50 {took['p50']:7.1f}  p99 {took['p99']:7.1f}  p99.9 {took['p999']:8.1f}"
                f"  CPU p99 {took['cpu99']:7.1f}"
                f"  {ratio:4.1f} x the limit"
            )
        for client in (memory, disk):
            stats = client.stats()
            assert stats.delivered == stats.accepted == arguments.events + 200, stats
        return int(
            any(took["p99"] >= BUDGET_US for name, took in results.items() if name.startswith("the_eye"))
        )
    finally:
        sink.terminate()
        sink.wait()


if __name__ == "__main__":
    sys.exit(main())
