"""Certification: webhooks are hints. They may come five times, in any order, late, or not at all."""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.certification.world import World
from wedsync.model.changes import ChangeKind
from wedsync.testing.faults import Answer, Fault

_ALWAYS = 1_000


@pytest_asyncio.fixture(loop_scope="session")
async def told(world: World) -> World:
    """A world whose vendor tells us what moved."""
    if world.manifest.inbound is None:
        pytest.skip("the manifest has no section `inbound`: the vendor tells us nothing, and is polled")
    await world.reached()
    await world.looked()
    world.relay.script.asked.clear()
    return world


async def test_webhooks_that_come_five_times_are_one_change_each(told: World) -> None:
    """A record of each kind that people make is one item, however often we are told of it."""
    told.relay.script.add(Fault(copies=5, times=_ALWAYS))
    for each in makeable(told):
        await each.hands.make("vows")
    await webhook_came(told)
    for each in makeable(told):
        await each.looked()
        await each.agree("vows")
        assert [change.kind for change in each.changes()] == [ChangeKind.CREATE]


async def test_webhooks_in_the_wrong_order_end_in_the_newest_state(told: World) -> None:
    """Those of the past come last, and all of them twice: what the vendor shows now is what counts."""
    told.relay.script.add(Fault(kept_back=True, times=_ALWAYS))
    for each in makeable(told):
        record = await each.hands.make("vows")
        await each.hands.edit(record, "our vows")
    await webhook_came(told)
    kept = list(told.relay.kept_back)
    assert {answer // 100 for answer in await told.relay.release([*kept[::-1], *kept])} == {2}
    for each in makeable(told):
        await each.looked()
        await each.agree("our vows")
        assert [change.kind for change in each.changes()] == [ChangeKind.CREATE]


async def test_webhooks_that_come_after_the_poll_are_no_news(told: World) -> None:
    """What a poll has found already is not found again by the webhook that comes late."""
    told.relay.script.add(Fault(kept_back=True, times=_ALWAYS))
    for each in makeable(told):
        await each.hands.make("vows")
        await each.looked()
        await each.agree("vows")
    await webhook_came(told)
    await told.relay.release()
    for each in makeable(told):
        await each.agree("vows")
        assert [change.kind for change in each.changes()] == [ChangeKind.CREATE]


async def test_lost_webhooks_lose_no_edit(told: World) -> None:
    """What we are never told of is found by the next poll."""
    told.relay.script.add(Fault(instead=Answer(status=200), times=_ALWAYS))
    for each in makeable(told):
        await each.hands.make("vows")
        await each.looked()
        await each.agree("vows")


def makeable(world: World) -> list[World]:
    """Return the world for each kind of which people can make records."""
    return [world.of(kind) for kind in world.manifest.kinds if "make" not in world.bench.hands[kind].cannot]


async def webhook_came(world: World) -> None:
    """Wait until we were told of something, and all who told us have their answer."""

    def came() -> bool:
        asked = world.relay.script.asked
        return bool(asked) and all(each.status for each in asked)

    await world.until(came, "the vendor tells us by a webhook, as its manifest says")
