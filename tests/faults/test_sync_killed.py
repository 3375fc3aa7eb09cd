"""kill -9 of the sync service itself, alone and as one of two."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.faults.bench import Bench
from tests.faults.conftest import StartTrial
from tests.faults.evidence import is_gone
from tests.faults.replica import Replica


@pytest.fixture(scope="module")
def second(bench: Bench) -> Iterator[Replica]:
    """Another sync service beside the first."""
    with bench.replica("sync-2") as replica:
        yield replica


@pytest.mark.short
async def test_the_only_sync_service_killed_loses_and_doubles_nothing(
    sync: Replica, start_trial: StartTrial
) -> None:
    """Started again it finds everything that was answered, and callers who repeat are answered."""
    async with start_trial("sync service killed and restarted") as trial:
        before = sync.pid
        trial.begin()
        await asyncio.to_thread(sync.kill)
        assert is_gone(before)
        await asyncio.to_thread(sync.start)
        await trial.answered()
        assert trial.moved() == set(trial.weddings)


async def test_two_sync_services_agree(sync: Replica, second: Replica, start_trial: StartTrial) -> None:
    """Callers of one wedding come to two services, and it has one order and one state."""
    async with start_trial("none, but two sync services", sync, second) as trial:
        trial.begin()
        await trial.answered()
        for replica in (sync, second):
            assert replica.metric("wedsync_rpc_total", method="SyncService/ApplyChanges", outcome="OK") > 0


async def test_one_of_two_sync_services_killed_loses_and_doubles_nothing(
    sync: Replica, second: Replica, start_trial: StartTrial
) -> None:
    """The other one takes over what the dead one's owners had, and it may come back."""
    async with start_trial("one of two sync services killed", sync, second) as trial:
        before = second.pid
        trial.begin()
        await asyncio.to_thread(second.kill)
        assert is_gone(before)
        await trial.answered()
        await asyncio.to_thread(second.start)
        await trial.answered()
        assert trial.moved()
