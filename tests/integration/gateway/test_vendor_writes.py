"""The couple's and the planner's edits through a whole gateway: from the commit to the vendor, once."""

from __future__ import annotations

from datetime import datetime

from tests.support.gateway_process import Gateway, Linked, Studio, until
from wedsync.model.items import FieldValue

_VOWS: dict[str, FieldValue] = {
    "title": "Vows",
    "starts_at": "2027-06-12T15:00:00[America/New_York]",
    "ends_at": "2027-06-12T15:30:00[America/New_York]",
}


async def quiet(gateway: Gateway, wedding_id: str) -> bool:
    """Say whether nothing is due any more."""
    return not await gateway.deliveries(wedding_id, "due")


async def test_a_commit_reaches_the_vendor_once(gateway: Gateway, studio: Studio, wedding_id: str) -> None:
    """A commit handed over three times is one write, and our own write does not come back as an edit."""
    linked = await studio.link(gateway, wedding_id)
    gateway.sync.received.clear()
    commit = await gateway.sync.edit(wedding_id, _VOWS)
    for _ in range(3):
        await gateway.accept(commit)
    await until(lambda: studio.names() == ["Vows"], "the event is created")
    await until(lambda: quiet(gateway, wedding_id), "the delivery is done")
    before = (await linked.state()).scan_time.ToDatetime()
    await until(lambda: _scanned_after(linked, before), "the vendor was scanned after the write")
    assert studio.count("POST /event") == 1
    assert gateway.sync.received == []
    [delivery] = [d for d in await gateway.deliveries(wedding_id) if d.item_id == commit.item.item_id]
    assert (delivery.state, delivery.attempts) == ("delivered", 1)


async def _scanned_after(linked: Linked, moment: datetime) -> bool:
    return bool((await linked.state()).scan_time.ToDatetime() > moment)


async def test_ten_edits_are_few_writes(gateway: Gateway, studio: Studio, wedding_id: str) -> None:
    """Commits that arrive together bring the record to the newest state in one write, in whatever order."""
    await studio.link(gateway, wedding_id)
    first = await gateway.sync.edit(wedding_id, _VOWS)
    titles = [{"title": f"Vows {number}"} for number in range(9)]
    rest = [await gateway.sync.edit(wedding_id, title, item_id=first.item.item_id) for title in titles]
    await gateway.accept(*rest[::-1], first)
    await until(lambda: studio.names() == ["Vows 8"], "the newest title is there")
    await until(lambda: quiet(gateway, wedding_id), "nothing is due")
    assert (studio.count("POST /event"), studio.count("PUT /event/{id}")) == (1, 0)


async def create_with_lost_answer(gateway: Gateway, studio: Studio, wedding_id: str) -> str:
    """Let Tave carry out a create and break off its answer; return what became of the delivery."""
    await studio.link(gateway, wedding_id)
    studio.fault(method="POST", path="/event", drop=True, apply=True)
    made = await gateway.sync.edit(wedding_id, _VOWS)
    await gateway.accept(made)
    await until(lambda: quiet(gateway, wedding_id), "the delivery is done")
    assert studio.names() == ["Vows"]
    assert studio.count("POST /event") == 1
    assert len([item for item in gateway.sync.items.values() if item.value("title") == "Vows"]) == 1
    [delivery] = [d for d in await gateway.deliveries(wedding_id) if d.change_id == made.change_id]
    return delivery.state


async def test_a_create_whose_answer_was_lost_is_not_repeated(
    slow: Gateway, studio: Studio, wedding_id: str
) -> None:
    """A create that was carried out though its answer broke off is found by its marker."""
    assert await create_with_lost_answer(slow, studio, wedding_id) == "delivered"


async def test_a_poll_that_finds_our_create_first_is_no_edit(
    gateway: Gateway, studio: Studio, wedding_id: str
) -> None:
    """The same, where the next poll may meet the created event before the retry does."""
    assert await create_with_lost_answer(gateway, studio, wedding_id) in {"delivered", "nothing_to_do"}


async def test_a_delete_is_carried_out(gateway: Gateway, studio: Studio, wedding_id: str) -> None:
    """A deleted item's event is deleted in Tave, and its absence is nobody's edit."""
    await studio.link(gateway, wedding_id)
    made = await gateway.sync.edit(wedding_id, _VOWS)
    await gateway.accept(made)
    await until(lambda: studio.names() == ["Vows"], "the event is created")
    await until(lambda: quiet(gateway, wedding_id), "the create is done")
    gateway.sync.received.clear()
    await gateway.accept(await gateway.sync.edit(wedding_id, {}, item_id=made.item.item_id, delete=True))
    await until(lambda: studio.names() == [], "the event is deleted")
    await until(lambda: quiet(gateway, wedding_id), "the delete is done")
    assert studio.count("DELETE /event/{id}") == 1
    assert gateway.sync.received == []


async def test_a_vendor_that_is_down_gets_it_later(gateway: Gateway, studio: Studio, wedding_id: str) -> None:
    """Through 429 and 503 the delivery stays due with the reason, and the newest state arrives at last."""
    await studio.link(gateway, wedding_id)
    studio.fault(method="POST", path="/event", status=429, retry_after=0)
    studio.fault(method="POST", path="/event", status=503, times=2)
    made = await gateway.sync.edit(wedding_id, _VOWS)
    await gateway.accept(made)
    await until(lambda: _waits(gateway, wedding_id), "the delivery waits, and says why")
    changed = await gateway.sync.edit(wedding_id, {"title": "Ceremony"}, item_id=made.item.item_id)
    await gateway.accept(changed)
    await until(lambda: studio.names() == ["Ceremony"], "the newest state arrives")
    await until(lambda: quiet(gateway, wedding_id), "the delivery is done")
    assert len(studio.studio.objects["event"]) == 1
    assert sum(delivery.attempts for delivery in await gateway.deliveries(wedding_id)) >= 4


async def _waits(gateway: Gateway, wedding_id: str) -> bool:
    due = await gateway.deliveries(wedding_id, "due")
    return any("busy or broken (status" in delivery.reason for delivery in due)


async def test_what_a_vendor_refuses_is_parked(gateway: Gateway, studio: Studio, wedding_id: str) -> None:
    """A write the vendor understands and refuses is parked alone; other items go on."""
    await studio.link(gateway, wedding_id)
    studio.fault(method="POST", path="/event", status=400)
    refused = await gateway.sync.edit(wedding_id, _VOWS)
    await gateway.accept(refused)
    [parked] = await until(lambda: gateway.deliveries(wedding_id, "parked"), "the delivery is parked")
    assert parked.change_id == refused.change_id
    assert "Correct the record or the mapping" in parked.reason
    await gateway.accept(await gateway.sync.edit(wedding_id, {**_VOWS, "title": "Dinner"}))
    await until(lambda: studio.names() == ["Dinner"], "the other item arrives")


async def test_a_paused_link_is_brought_up_to_date_when_it_goes_on(
    gateway: Gateway, studio: Studio, wedding_id: str
) -> None:
    """While a link is paused nothing is written to its vendor; resumed, it gets the newest state."""
    linked = await studio.link(gateway, wedding_id)
    async with gateway.client() as client:
        await client.pause_link(linked.link_id)
        await gateway.accept(await gateway.sync.edit(wedding_id, _VOWS))
        await until(lambda: _paused(gateway, wedding_id), "the delivery says that the link is paused")
        assert studio.names() == []
        await client.resume_link(linked.link_id)
    gateway.sql("UPDATE gateway.vendor_deliveries SET not_before = '-infinity'")
    await until(lambda: studio.names() == ["Vows"], "the event is created")


async def _paused(gateway: Gateway, wedding_id: str) -> bool:
    due = await gateway.deliveries(wedding_id, "due")
    return any("the link is paused" in delivery.reason for delivery in due)


async def test_the_items_of_a_wedding_reach_a_new_link(
    gateway: Gateway, studio: Studio, wedding_id: str
) -> None:
    """What was committed before anybody linked is brought to the vendor that links later."""
    await gateway.accept(await gateway.sync.edit(wedding_id, _VOWS))
    await studio.link(gateway, wedding_id)
    await until(lambda: studio.names() == ["Vows"], "the event is created")
    assert studio.count("POST /event") == 1
