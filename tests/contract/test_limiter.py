"""One allowance, kept alike by a process on its own and by many through a real Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis.asyncio as redis

from tests.support.gateway_process import until
from wedsync.clock import SystemClock
from wedsync.model.ids import new_id
from wedsync.runtime.embedded.local import free_port
from wedsync.runtime.embedded.valkey import EmbeddedValkey
from wedsync.runtime.hints import Hints
from wedsync.runtime.limiter import (
    Allowance,
    Granted,
    Lesson,
    Limiter,
    LocalLimiter,
    SharedLimiter,
    Terms,
    Wait,
)

URGENT, PATIENT, MASSED = Terms(), Terms(reserve=0.5), Terms(share=0.5)
# Slow enough that nothing worth counting flows in while a test runs.
SLOW = Allowance(name="", per_second=0.01, burst=10, at_once=100, hold_seconds=60)


async def entered(limiter: Limiter, allowance: Allowance, terms: Terms, most: int = 100) -> list[Granted]:
    """Enter as often as one is let in."""
    granted = list[Granted]()
    while len(granted) < most:
        answer = await limiter.enter(allowance, terms)
        if isinstance(answer, Wait):
            assert answer.seconds > 0
            return granted
        granted.append(answer)
    return granted


class LimiterContract:
    """What any limiter promises; subclasses only provide `limiter` and its twin in another process."""

    @pytest.fixture
    def slow(self) -> Allowance:
        """An allowance nobody else uses."""
        return replace(SLOW, name=new_id())

    async def test_a_burst_is_let_in_and_no_more(self, limiter: Limiter, slow: Allowance) -> None:
        """Exactly the burst follows at once, and then the wait is until the next token."""
        assert len(await entered(limiter, slow, URGENT)) == 10
        answer = await limiter.enter(slow, URGENT)
        assert isinstance(answer, Wait)
        assert 90 < answer.seconds <= 100

    async def test_names_have_nothing_to_do_with_each_other(self, limiter: Limiter, slow: Allowance) -> None:
        """What one account used up is no other's loss."""
        await entered(limiter, slow, URGENT)
        assert len(await entered(limiter, replace(slow, name=new_id()), URGENT)) == 10

    async def test_the_patient_leave_some_to_the_urgent(self, limiter: Limiter, slow: Allowance) -> None:
        """However many patient ones come, the reserve is there for the urgent."""
        assert len(await entered(limiter, slow, PATIENT)) == 5
        assert len(await entered(limiter, slow, URGENT)) == 5

    async def test_work_in_masses_gets_its_share_of_the_rate(self, limiter: Limiter, slow: Allowance) -> None:
        """Once its burst is used up, it waits twice as long for a token as the rate would have it."""
        assert len(await entered(limiter, slow, MASSED)) == 10
        massed, urgent = await limiter.enter(slow, MASSED), await limiter.enter(slow, URGENT)
        assert isinstance(massed, Wait)
        assert isinstance(urgent, Wait)
        assert massed.seconds == pytest.approx(2 * urgent.seconds, rel=0.1)

    async def test_so_many_are_inside_at_once(self, limiter: Limiter, slow: Allowance) -> None:
        """A full house is a short wait, and whoever leaves makes room for one."""
        narrow = replace(slow, at_once=2)
        inside = await entered(limiter, narrow, URGENT)
        assert len(inside) == 2
        await limiter.leave(inside[0])
        assert len(await entered(limiter, narrow, URGENT)) == 1
        assert isinstance(await limiter.enter(narrow, replace(URGENT, at_once=1)), Wait)

    async def test_who_died_inside_makes_room(self, limiter: Limiter, slow: Allowance) -> None:
        """A place that is never given back is free again after its time."""
        brief = replace(slow, at_once=1, hold_seconds=0.05)
        assert len(await entered(limiter, brief, URGENT)) == 1

        async def freed() -> bool:
            return isinstance(await limiter.enter(brief, URGENT), Granted)

        await until(freed, "the place is free again")

    async def test_a_pause_holds_everybody_back(self, limiter: Limiter, slow: Allowance) -> None:
        """After a lesson of a pause not even the urgent enter, and a shorter pause does not end it."""
        first, second = await entered(limiter, slow, URGENT, 2)
        await limiter.leave(first, Lesson(pause=30))
        await limiter.leave(second, Lesson(pause=1))
        answer = await limiter.enter(slow, URGENT)
        assert isinstance(answer, Wait)
        assert 29 < answer.seconds <= 30

    async def test_the_other_side_knows_better_what_is_left(self, limiter: Limiter, slow: Allowance) -> None:
        """Fewer remaining than we count is believed; more is not."""
        first, second = await entered(limiter, slow, URGENT, 2)
        await limiter.leave(first, Lesson(remaining=3))
        await limiter.leave(second, Lesson(remaining=1000))
        assert len(await entered(limiter, slow, URGENT)) == 3

    async def test_a_lower_rate_is_learned(self, limiter: Limiter, slow: Allowance) -> None:
        """The wait for a token follows the rate that the other side names, if that is lower."""
        granted = await entered(limiter, slow, URGENT)
        await limiter.leave(granted[0], Lesson(per_second=0.001))
        answer = await limiter.enter(slow, URGENT)
        assert isinstance(answer, Wait)
        assert answer.seconds > 900


class TestLocal(LimiterContract):
    """A process on its own."""

    @pytest.fixture
    def limiter(self) -> Limiter:
        """A limiter that nobody shares."""
        return LocalLimiter(SystemClock())


class TestShared(LimiterContract):
    """Processes with a Valkey between them."""

    @pytest.fixture
    async def limiter(self, valkey_url: str) -> AsyncIterator[Limiter]:
        """A limiter on the Valkey."""
        hints = Hints(valkey_url)
        yield SharedLimiter(hints, SystemClock())
        await hints.aclose()

    @pytest.fixture
    async def twin(self, valkey_url: str) -> AsyncIterator[Limiter]:
        """Another process's."""
        hints = Hints(valkey_url)
        yield SharedLimiter(hints, SystemClock())
        await hints.aclose()

    async def test_processes_share_one_allowance(
        self, limiter: Limiter, twin: Limiter, slow: Allowance
    ) -> None:
        """Two that enter at the same time get the burst together, not each."""
        both = await asyncio.gather(*(entered(each, slow, URGENT) for each in (limiter, twin)))
        assert sum(map(len, both)) == 10
        assert all(each.shared for granted in both for each in granted)

    async def test_processes_share_what_was_learned(
        self, limiter: Limiter, twin: Limiter, slow: Allowance
    ) -> None:
        """What one is told by the vendor holds the other back."""
        [granted] = await entered(limiter, slow, URGENT, 1)
        await limiter.leave(granted, Lesson(pause=30))
        assert isinstance(await twin.enter(slow, URGENT), Wait)


async def test_without_redis_each_goes_on_with_its_part(tmp_path: Path) -> None:
    """Redis gone: two processes that knew of each other take half each; Redis back: they share again."""
    server = EmbeddedValkey(tmp_path / "valkey.log", free_port())
    hints = [Hints(server.start()), Hints(f"redis://127.0.0.1:{server._port}/0")]
    one, other = (SharedLimiter(each, SystemClock()) for each in hints)
    allowance = replace(SLOW, name=new_id(), burst=20)
    try:
        for each in (one, other, one):
            assert len(await entered(each, allowance, URGENT, 1)) == 1
        server.stop()
        alone = await entered(one, allowance, URGENT)
        assert len(alone) == 10
        assert not any(each.shared for each in alone)
        server.start()
        again = replace(allowance, name=new_id())

        async def shared() -> bool:
            answer = await one.enter(again, URGENT)
            return isinstance(answer, Granted) and answer.shared

        await until(shared, "the allowance is shared again")
    finally:
        server.stop()
        for connection in hints:
            await connection.aclose()


async def test_a_redis_that_forgot_what_it_was_asked_is_told_again(valkey_url: str) -> None:
    """Whoever asks then shares as before, alone or with others at the same time."""
    hints, allowance = Hints(valkey_url), replace(SLOW, name=new_id())
    limiter, client = SharedLimiter(hints, SystemClock()), redis.from_url(valkey_url)
    for at_once in (1, 1, 3):
        await client.script_flush()
        answers = await asyncio.gather(*(limiter.enter(allowance, URGENT) for _ in range(at_once)))
        assert all(isinstance(each, Granted) and each.shared for each in answers)
    await client.aclose()
    await hints.aclose()


async def test_a_redis_that_answers_with_an_error_is_none(valkey_url: str) -> None:
    """What is kept under the name is of another kind: those who ask at once go on by themselves."""
    hints, allowance = Hints(valkey_url), replace(SLOW, name=new_id())
    limiter, client = SharedLimiter(hints, SystemClock()), redis.from_url(valkey_url)
    await client.set(f"wedsync:limit:{{{allowance.name}}}:users", "none")
    answers = await asyncio.gather(*(limiter.enter(allowance, URGENT) for _ in range(2)))
    assert not any(isinstance(each, Granted) and each.shared for each in answers)
    await client.aclose()
    await hints.aclose()


async def test_a_redis_that_was_never_there_costs_no_time() -> None:
    """With an address where nobody answers, a process enters at once, with a part for an unknown many."""
    hints = Hints(f"redis://127.0.0.1:{free_port()}/0")
    limiter, allowance = SharedLimiter(hints, SystemClock()), replace(SLOW, name=new_id(), burst=20)
    assert len(await entered(limiter, allowance, URGENT)) == 5
    await hints.aclose()


async def test_a_process_without_redis_has_the_whole_allowance() -> None:
    """Where no Redis is configured there is nobody to share with."""
    limiter = SharedLimiter(Hints(None), SystemClock())
    assert len(await entered(limiter, replace(SLOW, name=new_id()), URGENT)) == 10
