"""The judges are judged: an engine with one thing wrong in it does not get away with it."""

from __future__ import annotations

from itertools import chain

import pytest

from tests.convergence.mutants import MUTANTS, Mutant
from tests.convergence.site import manifests
from tests.convergence.world import lived

_SEEDS = 90
"""In so many of each vendor at most each is caught; most are in the first few."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught(mutant: Mutant) -> None:
    """Some promise is broken within a bounded number of seeds, and in the same storms none without it."""
    lives = ((vendor, seed) for seed in range(1, _SEEDS + 1) for vendor in manifests())
    with mutant.alive():
        assert any(lived(vendor, seed).wrong for vendor, seed in chain(mutant.shows_in, lives))
    assert not any(lived(vendor, seed).wrong for vendor, seed in mutant.shows_in)
