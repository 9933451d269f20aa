"""The shared examples, sent by this client, meet the fate they promise."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from pipeline import Pipeline

from the_eye import Client

EVENT_TYPES = Path(__file__).parents[4] / "schemas/event-types"


def examples(kind: str) -> list[Any]:
    paths = sorted(EVENT_TYPES.glob(f"**/examples/{kind}/*.json"))
    assert paths, f"no examples in {EVENT_TYPES}"
    return [pytest.param(path, id=str(path.relative_to(EVENT_TYPES))) for path in paths]


@pytest.fixture(scope="module")
def client(pipeline: Pipeline) -> Any:
    with Client(pipeline.url, pipeline.key, flush_interval=0.01) as client:
        yield client
    stats = client.stats()
    assert stats.delivered == stats.accepted > 0


@pytest.mark.parametrize("path", examples("valid"))
def test_a_valid_example_is_accepted(pipeline: Pipeline, client: Client, path: Path) -> None:
    event = json.loads(path.read_text())
    id = client.track(uuid.uuid4(), event["category"], event["name"], event["data"])
    assert id
    assert pipeline.fate(id)["verdict"] == "accepted"


@pytest.mark.parametrize("path", examples("invalid"))
def test_an_invalid_example_is_rejected(pipeline: Pipeline, client: Client, path: Path) -> None:
    example = json.loads(path.read_text())
    promised = sorted((r["code"], r.get("pointer", ""), r.get("keyword", "")) for r in example["reasons"])
    if any(code != "data_invalid" for code, _, _ in promised):
        # What is wrong with an envelope can't be sent through a client that writes the envelope itself.
        assert "data_invalid" not in {code for code, _, _ in promised}
        return
    event = example["event"]
    id = client.track(uuid.uuid4(), event["category"], event["name"], event["data"])
    assert id
    fate = pipeline.fate(id)
    assert fate["verdict"] == "rejected"
    assert sorted((r["code"], r["pointer"], r["keyword"]) for r in fate["reasons"]) == promised


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
