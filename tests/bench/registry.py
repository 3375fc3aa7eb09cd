"""The scenarios there are, in the order they run. To add one, add its module here."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Protocol, cast

from tests.bench.figures import Row

WHOLE: Mapping[str, str] = {
    "accept": "tests.bench.accept",
    "steady": "tests.bench.steady",
    "knee": "tests.bench.knee",
    "burst": "tests.bench.burst",
    "memory": "tests.bench.memory",
    "scale": "tests.bench.scale",
    "emergency": "tests.bench.emergency",
}
"""Webhooks through the whole system."""
ALONE: Mapping[str, str] = {"ceilings": "tests.bench.alone.scenario"}
PEERS: Mapping[str, str] = {"peers": "tests.bench.peers.scenario"}
"""What WedSync is compared with; nothing of it runs meanwhile."""
SITE: Mapping[str, str] = {
    "activation": "tests.bench.activation",
    "placement": "tests.bench.placement",
    "cost": "tests.bench.cost",
    "watchers": "tests.bench.watchers",
    "history": "tests.bench.history",
}
"""Changes sent to the sync service alone."""
EVERY: Mapping[str, str] = {**ALONE, **WHOLE, **PEERS, **SITE}
"""What runs where nothing is named."""
SCENARIOS: Mapping[str, str] = {**EVERY, "smoke": "tests.bench.smoke"}


class Scenario(Protocol):
    """A module of a scenario; its docstring's first line says what it finds out."""

    __doc__: str | None

    def run(self, place: Any) -> AsyncGenerator[Row, None]:
        """Yield one row of figures for each case; the place is a `Whole` or a `Site`."""
        ...


def load(name: str) -> Scenario:
    """Return a scenario's module."""
    return cast("Scenario", importlib.import_module(SCENARIOS[name]))


def about(name: str) -> str:
    """Return in a line what a scenario finds out."""
    return (load(name).__doc__ or "").strip().splitlines()[0]
