"""Facts on their way out, over an outbox in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.sync import outbox as outbox_module
from services.sync.facts import Destination, Fact
from services.sync.outbox import BATCH, Courier, Outbox
from services.sync.records import Claim
from wedsync.clock import FakeClock
from wedsync.errors import InvalidRequest, Unavailable
from wedsync.model.changes import Priority
from wedsync.model.ids import new_id
from wedsync.runtime.telemetry import Telemetry

GATEWAY, CONFLICTS = Destination.GATEWAY, Destination.CONFLICTS


def a_fact(sequence: int = 1, destination: Destination = GATEWAY) -> Fact:
    """Return a committed fact."""
    return Fact(
        fact_id=new_id(),
        wedding_id=new_id(),
        sequence=sequence,
        destination=destination,
        body={},
        trace_parent="",
        committed_at=datetime(2027, 1, 1, tzinfo=UTC),
    )


@dataclass
class Table:
    """The outbox table."""

    clock: FakeClock
    rows: dict[str, Fact] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    down: bool = False
    removals: int = 0

    def add(self, *facts: Fact, head_start: float = 2.0) -> None:
        """Commit facts."""
        for fact in facts:
            self.rows[fact.fact_id] = fact
            self.due[fact.fact_id] = self.clock.monotonic() + head_start
            self.attempts[fact.fact_id] = 0

    async def claim(self, destination: Destination, *, limit: int, seconds: float) -> list[Claim]:
        """Claim what is due."""
        if self.down:
            raise Unavailable
        now = self.clock.monotonic()
        ids = [i for i, fact in self.rows.items() if self.due[i] <= now and fact.destination is destination]
        for fact_id in ids[:limit]:
            self.attempts[fact_id] += 1
            self.due[fact_id] = now + seconds
        return [
            Claim(wedding_id=self.rows[i].wedding_id, fact_id=i, attempts=self.attempts[i])
            for i in ids[:limit]
        ]

    async def load(self, claims: Sequence[Claim]) -> list[Fact]:
        """Load what is there."""
        return [self.rows[claim.fact_id] for claim in claims if claim.fact_id in self.rows]

    async def remove(self, facts: Sequence[Fact]) -> None:
        """Remove."""
        self.removals += 1
        if self.down:
            raise Unavailable
        for fact in facts:
            self.rows.pop(fact.fact_id, None)

    async def postpone(self, claims: Sequence[Claim], *, seconds: float) -> None:
        """Give back."""
        for claim in claims:
            self.due[claim.fact_id] = self.clock.monotonic() + seconds


class Peer:
    """A receiver that can be away, or refuse some facts."""

    def __init__(self) -> None:
        self.heard: list[Fact] = []
        self.calls = 0
        self.away = False
        self.refuses: set[str] = set()
        self.breaks_on: set[str] = set()

    async def __call__(self, facts: Sequence[Fact]) -> None:
        """Hear."""
        self.calls += 1
        ids = {fact.fact_id for fact in facts}
        if self.away:
            raise Unavailable
        if ids & self.refuses:
            raise InvalidRequest
        if ids & self.breaks_on:
            raise ValueError("a fact that cannot be put into words")
        self.heard += facts


@dataclass
class Post:
    """Clock, table, peer and courier."""

    clock: FakeClock
    table: Table
    peer: Peer
    courier: Courier

    async def until(self, condition: Callable[[], Any], seconds: float = 600.0) -> None:
        """Let time pass until the condition holds."""
        limit = self.clock.monotonic() + seconds
        while not condition():
            assert self.clock.monotonic() < limit, "never"
            for _ in range(10):
                await asyncio.sleep(0)
            self.clock.advance(0.1)

    async def offer(self, fact: Fact) -> None:
        """Offer a fact, and give the courier the time that passes without the clock."""
        self.courier.offer([fact])
        for _ in range(10):
            await asyncio.sleep(0)

    async def offer_later(self, fact: Fact) -> None:
        """Offer a fact so long after the one before that they do not go together."""
        await self.offer(fact)
        self.clock.advance(0.011)
        for _ in range(10):
            await asyncio.sleep(0)


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    """One running courier for the gateway."""
    clock, peer = FakeClock(), Peer()
    table = Table(clock)
    courier = Courier(
        GATEWAY, store=table, deliver=peer, telemetry=Telemetry(), clock=clock, jitter=lambda: 0.5
    )
    outbox = Outbox({GATEWAY: courier})
    outbox.start()
    yield Post(clock, table, peer, courier)
    await outbox.stop()


async def test_what_is_offered_goes_at_once(post: Post) -> None:
    """A fact just committed is handed over without waiting for a sweep, and leaves the table."""
    fact = a_fact()
    post.table.add(fact)
    post.courier.offer([fact])
    for _ in range(10):
        await asyncio.sleep(0)
    assert post.peer.heard == [fact]
    await post.until(lambda: not post.table.rows, 1)
    assert post.peer.heard == [fact]


async def test_what_comes_soon_after_a_hand_over_goes_together(post: Post) -> None:
    """The first of many goes at once, and the others some milliseconds later in one call."""
    facts = [a_fact(number) for number in range(5)]
    for fact in facts:
        await post.offer(fact)
    assert post.peer.heard == facts[:1]
    await post.until(lambda: post.peer.heard == facts, 1)
    assert post.peer.calls == 2


async def test_an_emergency_waits_for_no_company(post: Post) -> None:
    """A fact in the emergency lane goes at once, however soon after another one."""
    facts = [a_fact(1), replace(a_fact(2), priority=Priority.EMERGENCY)]
    for fact in facts:
        await post.offer(fact)
    assert post.peer.heard == facts
    assert post.clock.monotonic() == 0


async def test_a_full_batch_waits_for_no_company(post: Post) -> None:
    """Once there is enough for a full call nothing is waited for."""
    await post.offer(a_fact(0))
    post.courier.offer(a_fact(number) for number in range(BATCH))
    await post.offer(a_fact(BATCH))
    assert post.peer.calls >= 2
    assert post.clock.monotonic() == 0


async def test_what_was_handed_over_is_removed_together(post: Post) -> None:
    """Facts of several hand-overs leave the table in one transaction."""
    facts = [a_fact(number) for number in range(5)]
    post.table.add(*facts)
    for fact in facts:
        await post.offer_later(fact)
    assert (post.peer.calls, post.table.removals) == (5, 0)
    await post.until(lambda: not post.table.rows, 1)
    assert post.table.removals == 1


async def test_what_waits_for_its_removal_is_bounded(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound a hand-over removes what has gathered before the next one begins."""
    monkeypatch.setattr(outbox_module, "_REMOVED_TOGETHER", 2)
    facts = [a_fact(number) for number in range(3)]
    post.table.add(*facts)
    for fact in facts:
        await post.offer_later(fact)
    assert not post.table.rows


async def test_what_cannot_be_removed_is_handed_over_again(post: Post) -> None:
    """A table that is away at the removal keeps the fact, and the sweep hands it over once more."""
    fact = a_fact()
    post.table.add(fact)
    post.table.down = True
    post.courier.offer([fact])
    await post.until(lambda: post.table.removals == 1, 1)
    post.table.down = False
    await post.until(lambda: not post.table.rows, 10)
    assert post.peer.heard == [fact, fact]


async def test_the_end_leaves_nothing_behind_that_was_handed_over(post: Post) -> None:
    """What was handed over just before the end is removed at the end."""
    fact = a_fact()
    post.table.add(fact)
    outbox = Outbox({GATEWAY: post.courier})
    outbox.start()
    post.courier.offer([fact])
    for _ in range(10):
        await asyncio.sleep(0)
    assert post.table.rows
    await outbox.stop()
    assert not post.table.rows
    assert post.clock.monotonic() == 0


async def test_what_was_never_offered_is_swept(post: Post) -> None:
    """A fact whose service died after the commit is found in the table."""
    facts = [a_fact(n) for n in range(3)]
    post.table.add(*facts)
    await post.until(lambda: not post.table.rows, 10)
    assert post.peer.heard == facts


async def test_a_peer_that_is_away_is_waited_for(post: Post) -> None:
    """Nothing is lost while the receiver is down, the short cut closes, and tries become rare."""
    post.peer.away = True
    first, second = a_fact(1), a_fact(2)
    post.table.add(first, second)
    post.courier.offer([first])
    await post.until(lambda: post.courier.failures)
    post.courier.offer([second])
    before = post.clock.monotonic()
    await post.until(lambda: post.clock.monotonic() > before + 120)
    assert post.peer.calls < 40
    assert set(post.table.rows) == {first.fact_id, second.fact_id}
    post.peer.away = False
    await post.until(lambda: not post.table.rows, 20)
    assert {fact.sequence for fact in post.peer.heard} == {1, 2}
    third = a_fact(3)
    post.table.add(third)
    post.courier.offer([third])
    await post.until(lambda: third in post.peer.heard, 1)


@pytest.mark.parametrize("how", ["refuses", "breaks_on"])
async def test_one_bad_fact_does_not_hold_the_others_up(post: Post, how: str) -> None:
    """A fact that is refused, or cannot even be sent, parks itself; the rest of its batch goes."""
    facts = [a_fact(n) for n in range(5)]
    getattr(post.peer, how).add(facts[2].fact_id)
    post.table.add(*facts)
    post.courier.offer(facts)
    await post.until(lambda: len(post.table.rows) == 1, 30)
    assert [fact.sequence for fact in post.peer.heard] == [0, 1, 3, 4]
    calls, before = post.peer.calls, post.clock.monotonic()
    await post.until(lambda: post.clock.monotonic() > before + 200)
    assert post.peer.calls - calls < 12
    getattr(post.peer, how).clear()
    await post.until(lambda: not post.table.rows, 400)


async def test_a_backlog_goes_in_batches_without_pause(post: Post) -> None:
    """A long queue of facts is handed over in full batches, one after the other."""
    facts = [a_fact(n) for n in range(BATCH * 3 + 1)]
    post.table.add(*facts, head_start=0.0)
    await post.until(lambda: not post.table.rows, 3)
    assert post.peer.calls == 4


async def test_a_fact_already_handed_over_is_not_claimed_for_nothing(post: Post) -> None:
    """Between claim and load the short cut may have been faster; then there is nothing to do."""

    async def gone(_: Sequence[Claim]) -> list[Fact]:
        post.table.rows.clear()
        return []

    post.table.add(a_fact(), head_start=0.0)
    post.table.load = gone  # type: ignore[method-assign,assignment]
    await post.until(lambda: not post.table.rows, 5)
    assert post.peer.calls == 0


async def test_a_database_that_is_away_is_waited_for(post: Post) -> None:
    """A sweep that cannot read tries again."""
    post.table.down = True
    post.table.add(a_fact())
    await post.until(lambda: post.courier.failures > 2)
    post.table.down = False
    await post.until(lambda: not post.table.rows, 30)


async def test_every_fact_goes_to_its_own_destination() -> None:
    """Commits go to the gateway, collisions to the conflicts service; one away delays only its own."""
    clock = FakeClock()
    table = Table(clock)
    peers = {GATEWAY: Peer(), CONFLICTS: Peer()}
    peers[CONFLICTS].away = True
    outbox = Outbox(
        {
            to: Courier(to, store=table, deliver=peer, telemetry=Telemetry(), clock=clock)
            for to, peer in peers.items()
        }
    )
    outbox.start()
    facts = [a_fact(1), a_fact(1, CONFLICTS)]
    table.add(*facts)
    outbox.offer(facts)
    for _ in range(10):
        await asyncio.sleep(0)
    await outbox.stop()
    assert peers[GATEWAY].heard == facts[:1]
    assert list(table.rows.values()) == facts[1:]
