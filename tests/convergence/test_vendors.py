"""Every vendor that has a folder, in storms of edits and faults; `make converge` takes many more seeds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.convergence.conftest import FIGURES
from tests.convergence.faults import TROUBLES
from tests.convergence.report import problems, struck
from tests.convergence.site import manifests
from tests.convergence.world import lived

SEEDS = 20
_LEAST_POINTS = 12
"""Of the points at which a gateway may die or freeze, so many at least are struck in these seeds."""


@pytest.mark.parametrize("vendor", list(manifests()))
def test_every_vendor_comes_to_agree(vendor: str, record_property: Callable[[str, object], None]) -> None:
    """After quiet each vendor has what it can hold of the truth, the rest is said, and nobody writes."""
    reports = [lived(vendor, seed) for seed in range(1, SEEDS + 1)]
    assert problems(reports) == []
    happened = struck(reports)
    assert all(happened[f"call {trouble}"] for trouble in TROUBLES)
    assert len([name for name in happened if name.endswith((" before", " after"))]) >= _LEAST_POINTS
    record_property(FIGURES, [report.figures() for report in reports])


def test_a_seed_is_the_same_every_time() -> None:
    """Twice the same seed, the same happens at the same imagined moments: so a failure can be looked at."""
    vendor = next(iter(manifests()))
    first, other, again = lived(vendor, 3), lived(vendor, 4), lived(vendor, 3)
    assert first == again
    assert other.digest != first.digest


def test_a_failing_seed_names_the_command_that_shows_it_again() -> None:
    """What is wrong is said together with how to see it happen again."""
    report = lived("tave", 1)
    report.wrong.append("an edit is lost")
    [words] = problems([report])
    assert "an edit is lost" in words
    assert ".venv/bin/python -m tests.convergence --vendor tave --seed 1" in words
