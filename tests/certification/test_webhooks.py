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


async def test_a_webhook_that_shows_the_record_whole_spares_the_reading(told: World) -> None:
    """An edit of what is known to be there comes in, and the vendor is not asked for anything."""
    record = await shows_whole(told)
    told.script.asked.clear()
    await told.hands.edit(record, "our vows")
    await told.until(lambda: shown(told) == ["our vows"], "the edit comes in")
    await told.quiet()
    assert told.script.asked == []
    await told.agree("our vows")


async def test_records_shown_late_bring_nothing_back(told: World) -> None:
    """The newest first, then all that were before it, twice: only the newest is an edit."""
    record = await shows_whole(told)
    told.relay.script.asked.clear()
    told.relay.script.add(Fault(kept_back=True, times=_ALWAYS))
    for text in ("our vows", "the vows", "vows again"):
        await told.hands.edit(record, text)
    await told.until(lambda: len(told.relay.kept_back) == 3, "all are kept back")
    kept = list(told.relay.kept_back)
    newest = [asked for asked in kept if b"vows again" in asked.body]
    await told.relay.release(newest)
    await told.until(lambda: shown(told) == ["vows again"], "the newest comes in")
    await told.relay.release([*kept, *kept])
    await told.agree("vows again")
    edits = [change for change in told.changes() if change.kind is ChangeKind.UPDATE]
    assert [change.values[told.hands.field] for change in edits] == ["vows again"]


async def shows_whole(world: World) -> str:
    """Return a record that both sides have; skip the test where webhooks do not show whole ones."""
    if world.manifest.inbound is None or not world.manifest.inbound.whole_records:
        pytest.skip("the manifest does not say that a webhook shows its record whole: it is read")
    record = await world.hands.make("vows")
    await world.looked()
    await world.agree("vows")
    return record


def shown(world: World) -> list[object]:
    """Return the texts that the wedding has."""
    return [item.value(world.hands.field) for item in world.items().values()]


def makeable(world: World) -> list[World]:
    """Return the world for each kind of which people can make records."""
    return [world.of(kind) for kind in world.manifest.kinds if "make" not in world.bench.hands[kind].cannot]


async def webhook_came(world: World) -> None:
    """Wait until we were told of something, and all who told us have their answer."""

    def came() -> bool:
        asked = world.relay.script.asked
        return bool(asked) and all(each.status for each in asked)

    await world.until(came, "the vendor tells us by a webhook, as its manifest says")
