"""Runs the programs of docs/producing-to-kafka.md unchanged against a running pipeline."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOC = ROOT / "docs/producing-to-kafka.md"


@pytest.fixture(scope="session", autouse=True)
def environment() -> None:
    missing = [n for n in ("EYE_URL", "EYE_KEY", "EYE_QUERY_URL", "EYE_KAFKA") if not os.environ.get(n)]
    if missing:
        pytest.fail(
            f"{', '.join(missing)} not set: these tests need a running pipeline, as"
            " `target/debug/eye with -- make test-kafka-doc` starts one",
            pytrace=False,
        )


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every snippet of the page, in the file that the comment above it names."""
    directory = tmp_path_factory.mktemp("producing")
    snippets = re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```\n", DOC.read_text(), re.DOTALL)
    for name, text in snippets:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert len(snippets) == DOC.read_text().count("\n```") / 2 == 7
    return directory


def run(command: list[str | Path], directory: Path, **env: str) -> str:
    result = subprocess.run(command, cwd=directory, env={**os.environ, **env}, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def python(programs: Path, session: str) -> str:
    return run([sys.executable, "produce.py", session], programs)


def java(programs: Path, session: str) -> str:
    if not (programs / "target/dependency").exists():
        run(["mvn", "-q", "-B", "dependency:copy-dependencies"], programs)
    return run(["java", "-cp", "target/dependency/*", "Produce.java", session], programs)


def rust(programs: Path, session: str) -> str:
    if not (programs / "Cargo.lock").exists():
        # Uses this workspace's versions, profile and compiled dependencies, because librdkafka takes minutes.
        shutil.copy(ROOT / "Cargo.lock", programs)
        shutil.copy(ROOT / "rust-toolchain.toml", programs)
        env = {"CARGO_TARGET_DIR": str(ROOT / "target"), "CARGO_PROFILE_DEV_DEBUG": "line-tables-only"}
        run(["cargo", "build", "-q"], programs, **env)
    return run([ROOT / "target/debug/produce", session], programs)


def go(programs: Path, session: str) -> str:
    if not (programs / "produce").exists():
        run(["go", "mod", "tidy"], programs)
        run(["go", "build"], programs)
    return run([programs / "produce", session], programs)


def through_the_gateway(_: Path, session: str) -> str:
    event = {
        "session_id": session,
        "category": "page interaction",
        "name": "pageview",
        "data": {"host": "www.example.com", "path": "/"},
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    request = urllib.request.Request(
        os.environ["EYE_URL"] + "/events",
        json.dumps([event] * 3).encode(),
        {"Authorization": f"Bearer {os.environ['EYE_KEY']}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return "\n".join(receipt["event_id"] for receipt in json.load(answer)["receipts"])


def fate(event_id: str) -> Any:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"{os.environ['EYE_QUERY_URL']}/v1/events/{event_id}") as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                assert error.code == 404, error.read()
        assert time.monotonic() < deadline, f"no verdict on {event_id}"
        time.sleep(0.05)


@pytest.mark.parametrize("program", [python, java, rust, go], ids=lambda program: program.__name__)
def test_its_events_are_accepted_where_the_gateway_sends_the_session(programs: Path, program: Any) -> None:
    # Several sessions, because one alone would be in the same partition by chance once in 16 times.
    for _ in range(4):
        session = str(uuid.uuid4())
        ids = program(programs, session).split()
        assert len(ids) == 3
        fates = [fate(id) for id in ids]
        [receipt, *_] = through_the_gateway(programs, session).split()
        assert [found["verdict"] for found in fates] == ["accepted"] * 3
        assert {(found["app"], found["session_id"]) for found in fates} == {("demo", session)}
        assert {found["partition"] for found in fates} == {fate(receipt)["partition"]}
        assert [found["offset"] for found in fates] == sorted(found["offset"] for found in fates)
