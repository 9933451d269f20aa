"""Serialises the JSON of a request for content types that OpenAPI has no serialisation for."""

import json

import schemathesis


@schemathesis.serializer("text/plain")
def text(_context, value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@schemathesis.serializer("application/x-ndjson")
def lines(_context, value):
    events = value if isinstance(value, list) else [value]
    return value if isinstance(value, bytes) else b"\n".join(json.dumps(event).encode() for event in events)
