"""A machine of the Ray cluster is lost, with the owners on it: altogether, in part, or only for a while."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from services.sync.crash_points import AFTER_COMMIT, BEFORE_COMMIT
from tests.faults.bench import Bench
from tests.faults.conftest import StartTrial
from tests.faults.evidence import is_gone
from tests.faults.node import Node
from tests.faults.trial import Trial

# Ray itself takes 13 s to notice that a machine is gone, and a minute that one does not answer.
RECOVERY_SECONDS = 40.0
FROZEN_SECONDS = 60.0


@pytest.fixture
def node(bench: Bench) -> Iterator[Node]:
    """A second machine."""
    with bench.second_node() as running:
        yield running


async def owner_on(trial: Trial, bench: Bench, node: Node) -> tuple[str, int]:
    """Return a wedding whose owner is on the node, and its process; others are ended until there is one."""
    while True:
        for wedding in trial.weddings:
            with bench.evidence.held_up(wedding) as lock:
                waiting = await trial.until(lock.waiting, "the owner's commit is under way")
            if waiting.pid in node.actors:
                return wedding, waiting.pid
        os.kill(waiting.pid, signal.SIGKILL)
        await trial.settled()


@pytest.mark.timeout(240)
async def test_a_killed_node_loses_and_doubles_nothing(
    bench: Bench, node: Node, start_trial: StartTrial
) -> None:
    """Raylet and owners die together; their weddings go on elsewhere."""
    async with start_trial("Ray node killed") as trial:
        (wedding, _), before = await owner_on(trial, bench, node), node.pids
        trial.begin()
        node.signal(signal.SIGKILL)
        await trial.until(lambda: all(map(is_gone, before)), "the node is gone")
        await trial.answered(RECOVERY_SECONDS)
        assert wedding in trial.moved()


@pytest.mark.timeout(300)
async def test_owners_that_ray_wrongly_calls_dead_do_not_keep_their_weddings(
    bench: Bench, node: Node, start_trial: StartTrial
) -> None:
    """With its node's daemon frozen an owner is called dead and lives on; it leaves all the same."""
    async with start_trial("Ray daemon of a node frozen") as trial:
        wedding, pid = await owner_on(trial, bench, node)
        trial.load.awake[wedding].clear()
        owner = bench.evidence.owner(wedding)
        trial.begin()
        os.kill(node.raylet, signal.SIGSTOP)
        await trial.until(lambda: not bench.evidence.may_go_on(owner), "the owner is given up", 120)
        assert not is_gone(pid)
        await trial.until(lambda: is_gone(pid), "it has left")
        trial.load.awake[wedding].set()
        await trial.answered(RECOVERY_SECONDS)
        assert wedding in trial.moved()


@pytest.mark.timeout(240)
async def test_an_owner_that_wakes_up_with_its_node_is_fenced_and_leaves(
    bench: Bench, node: Node, start_trial: StartTrial
) -> None:
    """A whole node stands still while others take over; what its owner had begun it then commits in vain."""
    async with start_trial(f"Ray node frozen for {FROZEN_SECONDS:.0f} s") as trial:
        await owner_on(trial, bench, node)
        trial.begin()
        victim, thaw_at = await frozen_on(trial, bench, node), time.monotonic() + FROZEN_SECONDS
        node.signal(signal.SIGSTOP)
        await trial.answered(RECOVERY_SECONDS)
        assert trial.moved()
        await trial.until(lambda: time.monotonic() > thaw_at, "it was frozen long enough", FROZEN_SECONDS)
        # Its lease is over too: it may leave for that before its late commit is answered.
        if await bench.goes_on(trial, AFTER_COMMIT, victim):
            os.kill(victim, signal.SIGCONT)
        await trial.until(lambda: is_gone(victim), "it left, although Ray cannot reach it")
        node.signal(signal.SIGCONT)
        await trial.answered()


async def frozen_on(trial: Trial, bench: Bench, node: Node) -> int:
    """Freeze an owner on the node just before a commit; return its process."""
    while (victim := await bench.freeze(trial, BEFORE_COMMIT)) not in node.actors:
        os.kill(victim, signal.SIGCONT)
    return victim
