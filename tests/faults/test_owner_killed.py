"""kill -9 of the process that owns a wedding, exactly where it hurts."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from services.sync.crash_points import (
    AFTER_COMMIT,
    AFTER_TAKEOVER,
    BEFORE_ANSWER,
    BEFORE_COMMIT,
    BEFORE_TAKEOVER,
)
from tests.faults.bench import Bench
from tests.faults.conftest import StartTrial
from tests.faults.evidence import is_gone

RECOVERY_SECONDS = 10.0

POINTS = (BEFORE_COMMIT, pytest.param(AFTER_COMMIT, marks=pytest.mark.short), BEFORE_ANSWER)


@pytest.mark.parametrize("point", POINTS)
async def test_an_owner_killed_round_its_commit_loses_and_doubles_nothing(
    bench: Bench, start_trial: StartTrial, point: str
) -> None:
    """The owner dies exactly there, another takes the wedding over, and every change is applied once."""
    async with start_trial(f"owner killed: {point}") as trial:
        trial.begin()
        await bench.crash(trial, point)
        await trial.answered(RECOVERY_SECONDS)
        assert trial.moved()


@pytest.mark.parametrize("point", [BEFORE_TAKEOVER, AFTER_TAKEOVER])
async def test_an_owner_killed_while_it_takes_over_loses_and_doubles_nothing(
    bench: Bench, start_trial: StartTrial, point: str
) -> None:
    """Two owners die in a row: one that a wedding leaves, and the one it comes to; a third goes on."""
    async with start_trial(f"owner killed: {point}") as trial:
        trial.begin()
        first, second = await asyncio.gather(bench.crash(trial, BEFORE_COMMIT), bench.crash(trial, point))
        assert first != second
        await trial.answered(RECOVERY_SECONDS)
        assert trial.moved()


async def test_an_owner_killed_during_its_commit_loses_and_doubles_nothing(
    bench: Bench, start_trial: StartTrial
) -> None:
    """The owner dies while PostgreSQL works on its commit, which then happens without it."""
    async with start_trial("owner killed: during commit") as trial:
        trial.begin()
        with bench.evidence.held_up(trial.weddings[0]) as lock:
            waiting = await trial.until(lock.waiting, "an owner's commit is under way")
            os.kill(waiting.pid, signal.SIGKILL)
            await trial.until(lambda: is_gone(waiting.pid), "the owner is gone")
            assert waiting.backend in bench.evidence.backends()
        await trial.answered(RECOVERY_SECONDS)
        assert trial.weddings[0] in trial.moved()


async def test_a_connection_cut_during_a_commit_loses_and_doubles_nothing(
    bench: Bench, start_trial: StartTrial
) -> None:
    """An owner whose commit has no answer goes on living, and finds out by the change ids."""
    async with start_trial("connection cut: during commit") as trial:
        trial.begin()
        with bench.evidence.held_up(trial.weddings[0]) as lock:
            waiting = await trial.until(lock.waiting, "an owner's commit is under way")
            bench.evidence.cut(waiting.backend)
            await trial.until(
                lambda: waiting.backend not in bench.evidence.backends(), "the connection is gone"
            )
        await trial.answered(RECOVERY_SECONDS)
        assert not is_gone(waiting.pid)


async def test_an_owner_of_many_weddings_killed_loses_and_doubles_nothing(
    bench: Bench, start_trial: StartTrial
) -> None:
    """In `shared` placement one death concerns several weddings, in the middle of one commit of theirs."""
    with bench.replica("shared", WEDSYNC_SYNC_PLACEMENT="shared", WEDSYNC_SYNC_MAX_ACTORS="2") as shared:
        async with start_trial("owner of many killed: after-commit", shared) as trial:
            trial.begin()
            await bench.crash(trial, AFTER_COMMIT)
            await trial.answered(RECOVERY_SECONDS)
            assert len(trial.moved()) > 1
