"""The promises of the core, under faults drawn from a seed; `make simulate` lives through many more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import pytest

from tests.simulation.__main__ import lived, problems
from tests.simulation.clients import OPERATIONS
from tests.simulation.faults import POINTS, Faults
from tests.simulation.world import POINTS_A_SEED, Report

SEEDS = 100
"""In each test; enough for every point to be reached."""
_LEAST_FAULTS = 5


@pytest.mark.parametrize("first", [1, 1 + SEEDS])
def test_nothing_is_lost_doubled_or_reordered(first: int) -> None:
    """Whatever dies, freezes, vanishes or comes twice: every promise holds, and every point was reached."""
    reports = [lived(seed) for seed in range(first, first + SEEDS)]
    assert problems(reports) == []
    assert min(report.operations for report in reports) >= OPERATIONS
    assert min(sum(report.struck.values()) for report in reports) >= _LEAST_FAULTS


def test_a_failing_seed_names_the_command_that_shows_it_again() -> None:
    """What is wrong is said together with how to see it happen again."""
    [words] = problems([_report(seed=7, wrong=["a change is lost"])])
    assert "a change is lost" in words
    assert ".venv/bin/python -m tests.simulation --seed 7" in words


def test_a_point_that_no_seed_reached_is_a_failure() -> None:
    """A long run in which nobody ever died at some point proves nothing about that point."""
    struck = dict.fromkeys(POINTS, 1) | {"owner.before_commit": 0}
    assert problems([_report(struck=struck)] * SEEDS) == [
        "no seed ever reached the point owner.before_commit"
    ]


def test_something_is_planned_for_every_point() -> None:
    """As many seeds as there are points plan each of them."""
    chance = Random(1)  # noqa: S311  # nobody must not guess it
    plans = [Faults.drawn(seed, chance, POINTS_A_SEED).plan for seed in range(len(POINTS))]
    assert {name for plan in plans for name in plan} == POINTS.keys()


def _report(seed: int = 1, wrong: Sequence[str] = (), struck: Mapping[str, int] | None = None) -> Report:
    return Report(
        seed=seed,
        wrong=wrong,
        digest="",
        operations=OPERATIONS,
        passed={},
        struck=dict(struck or {}),
        seconds=1.0,
    )
