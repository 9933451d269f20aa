"""These tests need a running pipeline; without one they fail and say so."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from pipeline import FaultyWay, Pipeline


@pytest.fixture(scope="session")
def pipeline() -> Pipeline:
    return Pipeline.from_environment()


@pytest.fixture
def way(pipeline: Pipeline) -> Iterator[FaultyWay]:
    way = FaultyWay(pipeline.url)
    yield way
    way.close()
