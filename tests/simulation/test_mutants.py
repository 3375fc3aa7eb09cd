"""The checker is checked: a core with one thing wrong in it does not get away with it."""

from __future__ import annotations

import pytest

from tests.simulation.__main__ import lived
from tests.simulation.mutants import MUTANTS, Mutant

_SEEDS = 60
"""In so many at most each is caught; most are in the first."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught(mutant: Mutant) -> None:
    """Some promise is broken within a bounded number of seeds."""
    with mutant.alive():
        assert any(lived(seed).wrong for seed in range(1, _SEEDS + 1))
