"""Single stories of a vendor record, each once a way to lose or double an edit."""

from __future__ import annotations

import pytest

from services.gateway.vendors.port import (
    CursorLost,
    Scan,
    VendorAuthFailed,
    VendorGarbage,
    VendorRejected,
    VendorUnavailable,
)
from tests.support.gateway_world import World, finish, restored
from wedsync.model.changes import ChangeKind
from wedsync.model.ids import new_id


def deliver_all(world: World) -> None:
    """Bring everything up to date once."""
    for claimed in world.due():
        world.deliver(claimed)


def shared_event(world: World, **fields: str) -> str:
    """Return the item of an event both vendors have."""
    item = new_id()
    world.edit(ChangeKind.CREATE, item, {"title": "Cake", **fields})
    world.settle()
    return item


def record_of(world: World, vendor: int, item: str) -> str:
    """Return the record an item has at a vendor."""
    record = world.memory.shadows[world.links[vendor].link_id, item].record_id
    assert record is not None
    return record


def test_an_edit_goes_round_once() -> None:
    """One edit at one vendor is one write at the other, and none at its own."""
    world = World()
    item = shared_event(world)
    before = world.writes()
    world.vendors["desk"].put(record_of(world, 0, item), title="First dance")
    world.settle()
    assert world.writes() == {"desk": before["desk"], "diary": before["diary"] + 1}
    assert world.differences() == []


def test_a_delete_is_not_held_up_by_what_the_vendor_never_sees() -> None:
    """Notes that the desk does not keep, set elsewhere, are no reason to ask about its delete."""
    world = World()
    item = shared_event(world)
    world.vendors["diary"].put(record_of(world, 1, item), notes="bring flowers", status="confirmed")
    world.settle()
    world.vendors["desk"].remove(record_of(world, 0, item))
    world.settle()
    assert world.canon.wedding.items[item].deleted
    assert world.vendors["diary"].records == {}


def test_a_create_that_was_never_heard_of_is_still_deleted() -> None:
    """An item deleted before we knew that its record was made leaves no record behind."""
    world = World()
    item = new_id()
    world.edit(ChangeKind.CREATE, item, {"title": "Cake"})
    world.hand_over()
    world.vendors["desk"].lost_answers = 1
    deliver_all(world)
    assert world.vendors["desk"].records
    world.edit(ChangeKind.DELETE, item)
    world.settle()
    assert world.vendors["desk"].records == {}


def test_a_write_that_lands_late_is_written_over() -> None:
    """An old value that appears after a newer one was confirmed is no edit, and does not stay."""
    world = World()
    item = shared_event(world)
    diary = world.vendors["diary"]
    world.edit(ChangeKind.UPDATE, item, {"title": "First dance"})
    world.hand_over()
    diary.late = True
    deliver_all(world)
    world.edit(ChangeKind.UPDATE, item, {"title": "Toast"})
    world.hand_over()
    deliver_all(world)
    assert diary.records[record_of(world, 1, item)].fields["title"] == "Toast"
    diary.land()
    world.settle()
    assert diary.records[record_of(world, 1, item)].fields["title"] == "Toast"
    assert world.canon.wedding.items[item].value("title") == "Toast"


def test_an_intent_seen_as_carried_out_swallows_no_later_edit() -> None:
    """Once a write of unknown outcome was seen, the same value set by a person is a person's edit."""
    world = World()
    item = shared_event(world)
    diary = world.vendors["diary"]
    world.edit(ChangeKind.UPDATE, item, {"title": "First dance"})
    world.hand_over()
    diary.lost_answers = 1
    deliver_all(world)
    world.edit(ChangeKind.UPDATE, item, {"title": "Toast"})
    world.settle()
    diary.put(record_of(world, 1, item), title="First dance")
    world.settle()
    assert world.canon.wedding.items[item].value("title") == "First dance"


def test_nothing_is_written_while_the_projection_is_behind() -> None:
    """A vendor's own edit is not undone by an older delivery before its commit comes back."""
    world = World()
    item = shared_event(world)
    diary = world.vendors["diary"]
    world.edit(ChangeKind.UPDATE, item, {"notes": "bring flowers"})
    world.hand_over()
    diary.put(record_of(world, 1, item), title="First dance")
    world.poll(world.links[1])
    world.dispatch()
    deliver_all(world)
    assert diary.records[record_of(world, 1, item)].fields["title"] == "First dance"
    assert "an edit of the vendor's is on its way" in world.memory.reasons()
    world.settle()
    assert world.differences() == []


def test_a_late_hint_about_an_old_record_deletes_nothing() -> None:
    """An item made anew in another record is not deleted because the old record is gone."""
    world = World()
    item = shared_event(world)
    old = record_of(world, 1, item)
    bin_ = world.vendors["diary"].remove(old)
    world.settle()
    world.edit(ChangeKind.RESTORE, item)
    world.settle()
    assert record_of(world, 1, item) != old
    world.look(world.links[1], old)
    world.settle()
    assert not world.canon.wedding.items[item].deleted
    world.vendors["diary"].records[old] = restored(bin_)
    world.settle()
    assert len(world.canon.wedding.items) == 2


def test_what_a_vendor_refuses_is_parked_with_the_reason() -> None:
    """A refused record waits for a human, and is not tried again."""
    world = World()
    world.vendors["desk"].failures = [VendorRejected("titles must rhyme")]
    world.edit(ChangeKind.CREATE, new_id(), {"title": "Cake"})
    world.hand_over()
    deliver_all(world)
    assert [row.state for row in world.memory.deliveries.values()] == ["parked", "delivered"]
    assert any("titles must rhyme" in reason for reason in world.memory.reasons())


def test_a_paused_or_removed_link_is_not_written_to() -> None:
    """Its deliveries wait and say why."""
    world = World()
    world.edit(ChangeKind.CREATE, new_id(), {"title": "Cake"})
    world.hand_over()
    desk, diary = world.links
    finish(world._poller._links.set_state(desk, active=False, reason="asked"))
    due = world.due()
    del world.memory.links[diary.link_id]
    for claimed in due:
        world.deliver(claimed)
    assert world.memory.reasons() == ["the link is paused: asked", "the link is gone"]
    assert world.writes() == {"desk": 0, "diary": 0}


@pytest.mark.parametrize("cursor", [None, {"at": 1}])
def test_a_lost_cursor_is_not_lost_in_a_circle(cursor: dict[str, int] | None) -> None:
    """A scan starts anew at once, but a vendor that loses even that is left alone for a while."""
    world = World()
    world.vendors["desk"].scans = [CursorLost("410")]
    world.memory.cursors[world.links[0].link_id] = cursor
    [due, _] = finish(world._poller.claim(5))
    finish(world._poller.poll(due))
    [pause] = [poll["failed"] for poll in world.memory.polls if "failed" in poll]
    assert (pause > 0) == (cursor is None)


def test_refused_credentials_pause_the_link() -> None:
    """The organization is told to connect again; nobody hammers the vendor."""
    world = World()
    world.vendors["desk"].failures = [VendorAuthFailed("401")]
    world.poll(world.links[0])
    link = world.memory.links[world.links[0].link_id]
    assert not link.active
    assert "Connect" in link.reason


def test_records_that_make_no_sense_are_parked_alone() -> None:
    """Garbage is kept once with its reason; the other records of the scan are read."""
    world = World()
    desk = world.vendors["desk"]
    good, bad = desk.put(title="Cake"), desk.put(title="?")
    desk.foreign = {bad}
    world.poll(world.links[0])
    assert len(world.memory.activities) == 1
    assert world.memory.shadows[world.links[0].link_id, world.memory.activities[0].activity.item_id]
    desk.scans = [Scan(records=[desk.records[good]], cursor={}, more=True), VendorGarbage("half a page")]
    world.poll(world.links[0])
    assert any("half a page" in str(poll.get("error")) for poll in world.memory.polls)


def test_many_records_gone_at_once_pause_the_link() -> None:
    """A vendor that suddenly shows nothing is asked about, not believed."""
    world = World()
    for _ in range(8):
        world.vendors["desk"].put(title="Cake")
    world.settle()
    world.vendors["desk"].records.clear()
    world.poll(world.links[0])
    assert not world.memory.links[world.links[0].link_id].active
    assert not any(item.deleted for item in world.canon.wedding.items.values())


def test_a_busy_vendor_is_asked_again_later() -> None:
    """A vendor that is away costs a wait, nothing else."""
    world = World()
    world.vendors["desk"].failures = [VendorUnavailable("503")]
    world.poll(world.links[0])
    assert any("failed" in poll for poll in world.memory.polls)
    world.settle()


def test_what_a_poll_finds_is_counted_as_missed_by_webhooks() -> None:
    """A change that a later scan brings to light was not told; what the first scan finds was there before."""
    world = World()
    link = world.links[0]
    world.vendors["desk"].put(title="Cake")
    world.go_on(link)
    assert world.missed == []
    world.vendors["desk"].put(title="Candles")
    world.go_on(link)
    assert world.missed == ["desk"]
