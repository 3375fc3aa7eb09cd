"""Webhooks are committed together, and every one of them is told what became of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest

from services.gateway.arrivals import MAX_BATCH, MAX_WAITING, Arrivals
from services.gateway.onward import Onward
from services.gateway.store.inbound import Accepted, Arrival, Endpoint
from tests.support.gateway_fakes import MemoryInbound, by_table
from tests.support.gateway_memory import Memory
from wedsync.errors import Overloaded, Unavailable


def arrival(number: int, key: str | None = None) -> Arrival:
    """Return a webhook."""
    return Arrival(
        webhook_id=str(number),
        endpoint=Endpoint(organization_id="studio", integration_id="i", vendor="desk"),
        body=b"{}",
        trace_parent="",
        detected_at=datetime(2027, 1, 1, tzinfo=UTC),
        delivery_key=key,
    )


class SlowInbound(MemoryInbound):
    """A log whose commits wait."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self.gate, self.begun = asyncio.Event(), asyncio.Event()

    async def accept(self, arrivals: Sequence[Arrival], *, room: int = 0) -> list[Accepted]:
        """Commit once the gate is open."""
        self.begun.set()
        await self.gate.wait()
        return await super().accept(arrivals)


@contextlib.asynccontextmanager
async def running(arrivals: Arrivals) -> AsyncIterator[asyncio.Task[None]]:
    """The committing loop."""
    loop = asyncio.create_task(arrivals.run())
    try:
        yield loop
    finally:
        loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await loop


async def waiting(arrivals: Arrivals, count: int) -> list[asyncio.Task[str]]:
    """Let so many webhooks arrive and wait."""
    tasks = [asyncio.create_task(arrivals.accept(arrival(number))) for number in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_what_waits_together_is_committed_together() -> None:
    """Webhooks that arrive during a commit share the next one, up to the largest batch."""
    memory, woken = Memory(), []
    store = SlowInbound(memory)
    arrivals = Arrivals(
        store=store, onward=Onward(claim=store.claim, wake=lambda: woken.append(1), idle_seconds=1.0)
    )
    async with running(arrivals):
        first = asyncio.create_task(arrivals.accept(arrival(-1)))
        await store.begun.wait()
        others = await waiting(arrivals, MAX_BATCH + 10)
        store.gate.set()
        assert all(await asyncio.gather(first, *others))
    assert store.batches == [1, MAX_BATCH, 10]
    assert len(memory.webhooks) == MAX_BATCH + 11
    assert len(woken) == 3


async def test_a_known_delivery_is_safe_already() -> None:
    """The second time the same delivery arrives, nothing is stored and the sender is told so."""
    memory = Memory()
    store = MemoryInbound(memory)
    arrivals = Arrivals(store=store, onward=by_table(store.claim))
    async with running(arrivals):
        answers = await asyncio.gather(*(arrivals.accept(arrival(n, "d1")) for n in range(3)))
    assert answers == ["0", "0", "0"]
    assert len(memory.webhooks) == 1


async def test_beyond_the_bound_the_vendor_is_asked_to_come_back() -> None:
    """A full queue refuses at once, with a retry time."""
    store = SlowInbound(Memory())
    arrivals = Arrivals(store=store, onward=by_table(store.claim))
    tasks = await waiting(arrivals, MAX_WAITING)
    with pytest.raises(Overloaded) as refused:
        await arrivals.accept(arrival(-1))
    assert refused.value.retry_after
    store.gate.set()
    async with running(arrivals):
        assert all(await asyncio.gather(*tasks))


async def test_if_the_log_fails_everybody_waiting_for_it_is_told() -> None:
    """Nothing of the batch counts as accepted, and the next batch has its own chance."""
    memory = Memory()
    store = MemoryInbound(memory)
    arrivals = Arrivals(store=store, onward=by_table(store.claim))
    store.failing = OSError("no database")
    tasks = await waiting(arrivals, 3)
    async with running(arrivals):
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(answer) for answer in answers} == {Unavailable}
        store.failing = None
        assert await arrivals.accept(arrival(9))
    assert [webhook.webhook_id for webhook in memory.webhooks] == ["9"]


async def test_at_the_end_everybody_who_waits_is_told_to_come_back() -> None:
    """Neither those in the commit nor the many behind them are left without an answer."""
    memory = Memory()
    store = SlowInbound(memory)
    arrivals = Arrivals(store=store, onward=by_table(store.claim))
    async with running(arrivals) as loop:
        first = asyncio.create_task(arrivals.accept(arrival(-1)))
        await store.begun.wait()
        others = await waiting(arrivals, 3 * MAX_BATCH)
        loop.cancel()
        async with asyncio.timeout(5):
            answers = await asyncio.gather(first, *others, return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unavailable}
    assert memory.webhooks == []


@pytest.mark.parametrize("failing", [None, OSError("no database")])
async def test_a_vendor_that_hung_up_disturbs_nobody(failing: Exception | None) -> None:
    """A webhook whose sender went away is committed or not like the others; nothing breaks."""
    store = MemoryInbound(Memory())
    store.failing = failing
    arrivals = Arrivals(store=store, onward=by_table(store.claim))
    gone, stays = await waiting(arrivals, 2)
    gone.cancel()
    await asyncio.sleep(0)
    async with running(arrivals):
        [answer] = await asyncio.gather(stays, return_exceptions=True)
    assert answer == "1" if failing is None else isinstance(answer, Unavailable)
