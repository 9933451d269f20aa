"""The running pipeline that the checks use; `eye with` says where it is."""

import json
import os
import re
import time
import urllib.request

SERVICES = {"ingest": "EYE_URL", "projector": "EYE_PROJECTOR_URL", "query-api": "EYE_QUERY_URL"}


def address(name):
    value = os.environ.get(name)
    assert value, f"{name} is not set: run `target/debug/eye with -- tests/operations/run`"
    return value


def get(url, timeout=10):
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read().decode()


def metrics():
    """By name, the labels of each metric that the three services show."""
    found = {}
    for variable in SERVICES.values():
        text = get(address(variable) + "/metrics")
        for name in re.findall(r"^# TYPE (\w+)", text, re.M):
            found.setdefault(name, set())
        for name, labels in re.findall(r"^(\w+)\{(.*)\} ", text, re.M):
            family = name if name in found else re.sub(r"_(bucket|sum|count)$", "", name)
            found[family] |= set(re.findall(r'(\w+)="', labels))
    return found


def eventually(what, attempt, patience=240):
    """Tries until the answer is true. `what` names what was expected, for the failure."""
    deadline = time.monotonic() + patience
    while True:
        answer = attempt()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"after {patience} s: {what}"
        time.sleep(0.2)


def send(session, name="pageview", data=None):
    """Sends one event through the gateway. Returns its receipt."""
    event = {
        "session_id": session,
        "category": "page interaction",
        "name": name,
        "data": data or {"host": "www.example.com", "path": "/"},
        "timestamp": "2021-01-01 09:15:27.243860",
    }
    headers = {"Authorization": f"Bearer {address('EYE_KEY')}", "Content-Type": "application/json"}
    request = urllib.request.Request(address("EYE_URL") + "/events", json.dumps(event).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 202
        return json.load(answer)["receipts"][0]
