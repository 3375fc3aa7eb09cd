"""The loop behind all background work."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from wedsync.clock import FakeClock
from wedsync.runtime.pump import GAP_SECONDS, Gap, Pump

LIMIT = 5.0


async def until(condition: Callable[[], bool]) -> None:
    """Let others run until the condition holds."""
    async with asyncio.timeout(LIMIT):
        while not condition():  # noqa: ASYNC110 - whatever the condition is about
            await asyncio.sleep(0)


class Work:
    """Tasks to hand out, and a gate each handler waits at."""

    def __init__(self, *batches: list[int]) -> None:
        self.batches = list(batches)
        self.asked: list[int] = []
        self.begun: list[int] = []
        self.done: list[int] = []
        self.gate = asyncio.Event()
        self.failures = 0

    async def claim(self, free: int) -> Sequence[int]:
        """Hand out the next batch."""
        self.asked.append(free)
        if self.failures:
            self.failures -= 1
            raise RuntimeError("no database")
        return self.batches.pop(0) if self.batches else []

    async def handle(self, task: int) -> None:
        """Wait at the gate; odd luck for negative tasks."""
        self.begun.append(task)
        await self.gate.wait()
        if task < 0:
            raise RuntimeError("a bad task")
        self.done.append(task)


@contextlib.asynccontextmanager
async def running(
    work: Work, *, slots: int = 2, idle_seconds: float = 60, clock: FakeClock | None = None
) -> AsyncIterator[Pump[int]]:
    """A pump at work."""
    pump: Pump[int] = Pump(
        "test",
        claim=work.claim,
        handle=work.handle,
        slots=slots,
        clock=clock or FakeClock(),
        idle_seconds=idle_seconds,
    )
    loop = asyncio.create_task(pump.run())
    try:
        yield pump
    finally:
        loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await loop
        await pump.drain(LIMIT)


async def settled(work: Awaitable[None] | None = None) -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_no_more_tasks_run_than_there_are_slots() -> None:
    """Even a claim that returns too much does not run too much, and nothing is claimed without a slot."""
    work = Work([1, 2, 3, 4, 5], [6])
    async with running(work) as pump:
        await until(lambda: len(work.begun) == 2)
        pump.wake()
        await settled()
        assert work.begun == [1, 2]
        assert work.asked == [2]
        work.gate.set()
        await until(lambda: work.done == [1, 2, 3, 4, 5, 6])
        assert min(work.asked) > 0


async def test_a_wake_up_ends_the_wait() -> None:
    """New work is claimed when somebody says so, not when the pause is over."""
    work = Work([])
    work.gate.set()
    async with running(work) as pump:
        await until(lambda: len(work.asked) == 1)
        work.batches.append([1])
        await settled()
        assert work.done == []
        pump.wake()
        await until(lambda: work.done == [1])


async def test_without_a_wake_up_the_table_is_asked_now_and_then() -> None:
    """A lost hint costs the idle time, no more."""
    work = Work([], [], [1])
    work.gate.set()
    async with running(work, idle_seconds=0.001):
        await until(lambda: work.done == [1])


async def test_a_failing_claim_is_tried_again_after_a_while() -> None:
    """The loop outlives a lost database, and does not hammer it."""
    work, clock = Work([1]), FakeClock()
    work.gate.set()
    work.failures = 1
    async with running(work, clock=clock, idle_seconds=0.001):
        await settled()
        assert work.asked == [2]
        clock.advance(3.0)
        await until(lambda: work.done == [1])


async def test_a_failing_task_does_not_harm_the_others() -> None:
    """One bad task is given up; the next ones are handled."""
    work = Work([-1, 2], [3])
    work.gate.set()
    async with running(work):
        await until(lambda: work.done == [2, 3])


async def test_draining_lets_tasks_finish_but_not_for_ever() -> None:
    """What is done in time is done; the rest is cancelled."""
    work = Work([1])
    async with running(work) as pump:
        await until(lambda: work.begun == [1])
        await pump.drain(0.01)
        await settled()
        assert work.done == []
        work.batches.append([2])
        pump.wake()
        await until(lambda: 2 in work.begun)
        work.gate.set()
        await pump.drain(LIMIT)
        assert work.done == [2]
        await pump.drain(LIMIT)


def test_a_busy_process_waits_longer_for_more_to_join() -> None:
    """Between two claims the gap grows with the share of a core that was used, and shrinks again with it."""
    now, used = 0.0, 0.0

    def after(share: float) -> float:
        nonlocal now, used
        now, used = now + 2, used + 2 * share
        return round(gap.seconds(), 3)

    gap = Gap(0.06, used=lambda: used, clock=lambda: now)
    assert gap.seconds() == GAP_SECONDS
    assert [after(share) for share in (0.1, 0.55, 0.9, 1.7, 0.0)] == [0.01, 0.035, 0.06, 0.06, 0.01]


def test_how_busy_a_process_is_shows_only_over_a_while() -> None:
    """A moment of work is no load: what was measured last holds for a second."""
    now = 0.0
    gap = Gap(0.06, used=lambda: now, clock=lambda: now)
    now = 0.9
    assert gap.seconds() == GAP_SECONDS
    now = 1.0
    assert gap.seconds() == 0.06


async def test_a_pump_leaves_the_gap_between_two_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is woken meanwhile, a busy pump claims again only once the gap is over."""
    monkeypatch.setattr(Gap, "seconds", lambda _: 0.05)
    work, loop, times = Work([1], [2]), asyncio.get_running_loop(), list[float]()

    async def claim(free: int) -> Sequence[int]:
        times.append(loop.time())
        return await work.claim(free)

    pump: Pump[int] = Pump("test", claim=claim, handle=work.handle, slots=4, clock=FakeClock(), longest_gap=1)
    work.gate.set()
    running_pump = asyncio.create_task(pump.run())
    await until(lambda: work.done == [1, 2])
    running_pump.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running_pump
    assert times[1] - times[0] >= 0.049
