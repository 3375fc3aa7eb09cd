"""The benchmark's own arithmetic, and that every scenario can be run and says what it finds out."""

from __future__ import annotations

import inspect

import pytest

from tests.bench.figures import milliseconds, percentile
from tests.bench.processes import ACTORS, GENERATOR, GROUPS, POSTGRES, Usage, microseconds_each
from tests.bench.registry import SCENARIOS, about, load
from tests.bench.weddings import zipf


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_can_be_loaded_and_says_what_it_finds_out(name: str) -> None:
    """Each registered module has a run that yields rows, and a sentence of its own."""
    assert inspect.isasyncgenfunction(load(name).run)
    assert about(name).endswith(".")


def test_percentiles_are_values_that_were_measured() -> None:
    """The p99 of a hundred is the second largest; of few values it is the largest."""
    hundred = [float(number) for number in range(100, 0, -1)]
    assert [percentile(hundred, share) for share in (0.01, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    assert percentile([3.0, 1.0], 0.99) == 3.0
    assert milliseconds([0.001, 0.002]) == {"p50 ms": 1.0, "p95 ms": 2.0, "p99 ms": 2.0, "max ms": 2.0}
    assert milliseconds([]) == {}


def test_what_the_generator_uses_is_not_the_systems() -> None:
    """The cost of a change is what all groups but the generator used, shared by the changes."""
    before = Usage(dict.fromkeys(GROUPS, 1.0))
    after = Usage({**before.seconds, ACTORS: 1.5, POSTGRES: 1.25, GENERATOR: 9.0})
    each = microseconds_each(after.since(before), 1000)
    found = [each[name] for name in ("CPU us", "actors us", "postgres us", "generator us")]
    assert found == [750, 500, 250, 8000]


def test_a_few_weddings_are_edited_most() -> None:
    """Of 1,250 weddings the 64 busiest get six edits of ten."""
    weights = zipf(1250)
    assert 0.6 < sum(weights[:64]) / sum(weights) < 0.65
