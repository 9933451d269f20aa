"""The shared examples, sent by this client, meet the fate they promise."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import pytest
from pipeline import Pipeline

from the_eye import Client

EVENT_TYPES = Path(__file__).parents[4] / "schemas/event-types"


def is_about_data(path: Path) -> bool:
    """What is wrong with an envelope can't be sent through a client that writes the envelope itself."""
    example = json.loads(path.read_text())
    return "event" in example and {reason["code"] for reason in example["reasons"]} == {"data_invalid"}


def examples(kind: str, wanted: Callable[[Path], bool] = lambda _: True) -> list[Any]:
    paths = [path for path in sorted(EVENT_TYPES.glob(f"**/examples/{kind}/*.json")) if wanted(path)]
    assert paths, f"no examples in {EVENT_TYPES}"
    return [pytest.param(path, id=str(path.relative_to(EVENT_TYPES))) for path in paths]


@pytest.fixture(scope="module")
def client(pipeline: Pipeline) -> Any:
    with Client(pipeline.url, pipeline.key, flush_interval=0.01) as client:
        yield client
    stats = client.stats()
    assert stats.delivered == stats.accepted > 0


@pytest.fixture(scope="module")
def sent(client: Client) -> dict[Path, str]:
    """The ids of all examples: sent at once, so that each need not wait for its verdict in turn."""
    ids = {}
    for kind in ("valid", "invalid"):
        for path in EVENT_TYPES.glob(f"**/examples/{kind}/*.json"):
            example = json.loads(path.read_text())
            if kind == "valid" or is_about_data(path):
                event = example if kind == "valid" else example["event"]
                id = client.track(uuid.uuid4(), event["category"], event["name"], event["data"])
                assert id
                ids[path] = id
    return ids


@pytest.mark.parametrize("path", examples("valid"))
def test_a_valid_example_is_accepted(pipeline: Pipeline, sent: dict[Path, str], path: Path) -> None:
    assert pipeline.fate(sent[path])["verdict"] == "accepted"


@pytest.mark.parametrize("path", examples("invalid", is_about_data))
def test_an_invalid_example_is_rejected(pipeline: Pipeline, sent: dict[Path, str], path: Path) -> None:
    example = json.loads(path.read_text())
    fate = pipeline.fate(sent[path])
    assert fate["verdict"] == "rejected"
    promised = [(r["code"], r.get("pointer", ""), r.get("keyword", "")) for r in example["reasons"]]
    assert sorted((r["code"], r["pointer"], r["keyword"]) for r in fate["reasons"]) == sorted(promised)


def test_the_original_events_are_accepted(pipeline: Pipeline, client: Client) -> None:
    session = str(uuid.uuid4())
    visit = client.visit(session, "www.example.com", "/")
    form = {"first_name": "John", "last_name": "Doe"}
    ids = [visit.pageview(), visit.cta_click("chat bubble"), visit.form_submit(form, with_values=True)]
    ids.append(visit.form_submit(form))
    assert pipeline.timeline(session, 4) == ids
    events = pipeline.get(f"/v1/sessions/{session}")["events"]
    assert [(event["category"], event["name"]) for event in events] == [
        ("page interaction", "pageview"),
        ("page interaction", "cta click"),
        ("form interaction", "submit"),
        ("form interaction", "submit"),
    ]
    assert [event["data"].get("form") for event in events[2:]] == [form, {"first_name": "", "last_name": ""}]


def test_the_example_of_the_readme_is_accepted(pipeline: Pipeline) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    example = readme.split("```python\n")[1].split("```")[0]
    for placeholder, value in [("https://eye.example.com", pipeline.url), ('"..."', repr(pipeline.key))]:
        assert placeholder in example
        example = example.replace(placeholder, value)
    names: dict[str, Any] = {"session_id": uuid.uuid4(), "request": SimpleNamespace(POST={"name": "Ada"})}
    exec(example, names)
    names["eye"].close()
    assert len(pipeline.timeline(str(names["session_id"]), example.count("(session_id"))) == 4
