from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from services.launcher.supervisor import Backoff, Observer, Supervisor
from wedsync.clock import FakeClock
from wedsync.runtime.embedded.process import ChildFailed


class FakeUnit:
    """A unit whose start fails as often as told, and that writes down what is done to it."""

    def __init__(self, name: str, journal: list[str], *, failures: int = 0) -> None:
        self.name, self._journal, self.failures = name, journal, failures
        self.pid: int | None = None

    def start(self) -> str:
        """Fail as often as told, then run."""
        self._journal.append(f"start {self.name}")
        if self.failures:
            self.failures -= 1
            raise ChildFailed("no")
        self.pid = 1
        return f"address of {self.name}"

    def stop(self) -> None:
        """Write it down."""
        self._journal.append(f"stop {self.name}")
        self.pid = None


class SlowUnit(FakeUnit):
    """A unit whose start lasts until it is stopped."""

    def __init__(self, name: str, journal: list[str]) -> None:
        super().__init__(name, journal)
        self.started, self._ended = threading.Event(), threading.Event()

    def start(self) -> str:
        """Block until stopped."""
        self.started.set()
        self._ended.wait(10)
        raise ChildFailed("ended")

    def stop(self) -> None:
        """Let the start fail."""
        super().stop()
        self._ended.set()


async def _until(clock: FakeClock, condition: Any) -> None:
    for _ in range(5000):
        if condition():
            return
        clock.advance(0.1)
        await asyncio.sleep(0.001)
    raise AssertionError


async def test_stages_end_in_reverse_order() -> None:
    """What was given last is ended first, and every start's answer is handed back in order."""
    journal: list[str] = []
    supervisor = Supervisor()
    answers = await supervisor.start([FakeUnit("a", journal)], [FakeUnit("b", journal)])
    assert answers == ["address of a", "address of b"]
    assert supervisor.pids() == {"a": 1, "b": 1}
    await supervisor.stop()
    assert journal[2:] == ["stop b", "stop a"]
    assert supervisor.pids() == {}


async def test_a_failed_start_does_not_wait_for_the_others() -> None:
    """One that does not come up fails the start at once, and whatever is still starting is ended."""
    journal: list[str] = []
    slow = SlowUnit("slow", journal)
    supervisor = Supervisor()
    with pytest.raises(ChildFailed, match="no"):
        await supervisor.start([slow, FakeUnit("bad", journal, failures=1)])
    assert journal[-1] == "stop slow"


async def test_a_dead_unit_is_restarted_even_if_its_first_restarts_fail() -> None:
    """It is started again after a wait, more than once if need be, and the caller is told once it is up."""
    journal: list[str] = []
    clock, told = FakeClock(), []
    unit = FakeUnit("a", journal)
    supervisor = Supervisor(clock=clock, chance=lambda: 0.5)
    await supervisor.start([unit])
    watching = asyncio.create_task(supervisor.watch(restarted=lambda: told.append(supervisor.pids())))
    unit.pid, unit.failures = None, 2
    await _until(clock, lambda: told)
    assert told == [{"a": 1}]
    assert journal == ["start a"] * 4
    unit.pid = None
    await _until(clock, lambda: len(told) == 2)
    watching.cancel()
    await asyncio.wait([watching])


async def test_a_unit_that_keeps_dying_ends_the_watch() -> None:
    """After the last attempt its failure is raised, so that the system does not limp on for ever."""
    clock = FakeClock()
    unit = FakeUnit("a", [])
    supervisor = Supervisor(clock=clock, backoff=Backoff(attempts=3), chance=lambda: 0.0)
    await supervisor.start([unit])
    unit.pid, unit.failures = None, 99
    watching = asyncio.create_task(supervisor.watch(restarted=lambda: None))
    await _until(clock, watching.done)
    assert isinstance(watching.exception(), ChildFailed)
    assert unit.failures == 96


async def test_luck_is_forgotten_after_a_steady_time() -> None:
    """A unit that was up for long enough starts again with the shortest wait."""
    waits: list[float] = []

    class Waits(Observer):
        def died(self, name: str, wait: float) -> None:
            waits.append(wait)

    clock, unit, ups = FakeClock(), FakeUnit("a", []), []
    supervisor = Supervisor(clock=clock, observer=Waits(), chance=lambda: 0.0)
    await supervisor.start([unit])
    watching = asyncio.create_task(supervisor.watch(restarted=lambda: ups.append(1)))
    for steady in (0.0, 0.0, 60.0):
        clock.advance(steady)
        unit.pid = None
        await _until(clock, lambda: len(ups) == len(waits) and unit.pid)
    watching.cancel()
    await asyncio.wait([watching])
    assert waits == [0.1, 0.2, 0.1]


async def test_a_cancelled_start_ends_what_it_was_starting() -> None:
    """Asked to end while a unit is still coming up, the unit is ended and nothing waits for it."""
    journal: list[str] = []
    unit = SlowUnit("a", journal)
    supervisor = Supervisor()
    starting = asyncio.create_task(supervisor.start([unit]))
    await asyncio.to_thread(unit.started.wait, 5)
    starting.cancel()
    await asyncio.wait([starting], timeout=5)
    assert starting.cancelled()
    assert journal == ["stop a", "stop a"]


def test_waits_grow_to_the_cap_and_are_spread() -> None:
    """Each wait is between half and all of a doubling time, never beyond the cap."""
    backoff = Backoff(first=1.0, cap=5.0)
    assert [backoff.delay(n, 0.0) for n in range(4)] == [0.5, 1.0, 2.0, 2.5]
    assert backoff.delay(9, 1.0) == 5.0
