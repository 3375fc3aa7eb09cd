"""The scenarios there are, in the order they run. To add one, add its module here."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, Mapping
from typing import Protocol, cast

from tests.bench.figures import Row
from tests.bench.site import Site

SCENARIOS: Mapping[str, str] = {
    "activation": "tests.bench.activation",
    "placement": "tests.bench.placement",
    "cost": "tests.bench.cost",
    "watchers": "tests.bench.watchers",
    "history": "tests.bench.history",
}


class Scenario(Protocol):
    """A module of a scenario; its docstring's first line says what it finds out."""

    __doc__: str | None

    def run(self, site: Site) -> AsyncGenerator[Row, None]:
        """Yield one row of figures for each case."""
        ...


def load(name: str) -> Scenario:
    """Return a scenario's module."""
    return cast("Scenario", importlib.import_module(SCENARIOS[name]))


def about(name: str) -> str:
    """Return in a line what a scenario finds out."""
    return (load(name).__doc__ or "").strip().splitlines()[0]
