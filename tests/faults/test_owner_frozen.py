"""A process that owns a wedding stops in the middle of a batch."""

from __future__ import annotations

import pytest

from services.sync.crash_points import BEFORE_COMMIT
from tests.faults.bench import Bench
from tests.faults.conftest import StartTrial
from tests.faults.evidence import is_gone

TAKEOVER_SECONDS = 15.0


@pytest.mark.short
async def test_a_frozen_owner_is_replaced(bench: Bench, start_trial: StartTrial) -> None:
    """Another owner takes over within 15 s; the old one, frozen just before a commit, is ended for good."""
    async with start_trial("owner frozen") as trial:
        trial.begin()
        victim = await bench.freeze(trial, BEFORE_COMMIT)
        await trial.answered(TAKEOVER_SECONDS)
        assert trial.moved()
        await trial.until(lambda: is_gone(victim), "the old owner is ended, which needs no help of its own")
