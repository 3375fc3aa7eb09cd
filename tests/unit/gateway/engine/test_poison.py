"""A record that cannot be read holds up nothing but itself."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from services.gateway.deliver.retry import MAX_GARBLED
from services.gateway.store.inbound import Received
from services.gateway.vendors.port import (
    VendorAuthFailed,
    VendorGarbage,
    VendorRejected,
    VendorUnavailable,
)
from tests.support.gateway_fakes import received
from tests.support.gateway_world import World, finish
from tests.unit.gateway.engine.test_arrivals import arrival
from tests.unit.gateway.engine.test_translate import translator, webhook
from wedsync.errors import Unavailable
from wedsync.model.changes import ChangeKind
from wedsync.model.ids import new_id


def apart(world: World) -> list[Received]:
    """Return the records that wait by themselves."""
    waiting = [w for w in world.memory.webhooks if w.webhook_id not in world.memory.finished]
    return [received(one) for one in waiting if one.record_id is not None]


@pytest.mark.parametrize("error", [VendorGarbage("no title"), KeyError("title"), VendorUnavailable("500")])
def test_a_batch_is_split_at_the_record_that_cannot_be_read(error: Exception) -> None:
    """The other records of the webhook are read, the bad one waits by itself, and the webhook says so."""
    world = World()
    desk = world.vendors["desk"]
    records = [desk.put(title=title) for title in ("Cake", "Vows", "Toast")]
    desk.poison = {records[2]: error}
    finish(translator(world, []).translate(webhook(world, *records)))
    assert len(world.memory.activities) == 2
    assert world.memory.finished["1"] == ("processed", f"set apart, each by itself: {records[2]}")
    [alone] = apart(world)
    assert (alone.record_id, alone.link_id, alone.parent_id) == (records[2], world.links[0].link_id, "1")


def test_a_poison_record_is_parked_after_its_tries_with_cause_and_cure() -> None:
    """It is read again by itself until its tries are used up; then a person is told what to do."""
    world = World()
    desk = world.vendors["desk"]
    good, bad = desk.put(title="Cake"), desk.put(title="?")
    desk.poison = {bad: VendorGarbage("it has no start")}
    finish(translator(world, []).translate(webhook(world, good, bad)))
    [alone] = apart(world)
    finish(translator(world, []).translate(replace(alone, attempts=MAX_GARBLED - 1)))
    assert world.memory.finished[alone.webhook_id][0].startswith("again")
    finish(translator(world, []).translate(replace(alone, attempts=MAX_GARBLED)))
    state, reason = world.memory.finished[alone.webhook_id]
    assert state == "parked"
    assert "it has no start. Gave up after 5 tries; have the record corrected, then retry." in reason


def test_a_record_set_apart_that_is_well_again_is_read() -> None:
    """Nothing of it was lost meanwhile."""
    world = World()
    desk = world.vendors["desk"]
    good, bad = desk.put(title="Cake"), desk.put(title="Vows")
    desk.poison = {bad: VendorGarbage("half an answer")}
    finish(translator(world, []).translate(webhook(world, good, bad)))
    desk.poison = {}
    [alone] = apart(world)
    finish(translator(world, []).translate(alone))
    assert world.memory.finished[alone.webhook_id] == ("processed", "")
    assert len(world.memory.activities) == 2


def test_a_record_of_a_paused_link_waits() -> None:
    """Nothing else would tell of it; one of a link that ended is done with."""
    world = World()
    link = world.links[0]
    one = replace(webhook(world), record_id="r1", link_id=link.link_id)
    world.memory.links[link.link_id] = replace(link, active=False, reason="by request")
    finish(translator(world, []).translate(one))
    again, reason = world.memory.finished["1"]
    assert (again.startswith("again in "), reason) == (True, "the link is paused: by request")
    world.memory.links[link.link_id] = replace(link, active=False, ended=True)
    finish(translator(world, []).translate(one))
    assert world.memory.finished["1"] == ("processed", "no active link is concerned")


def test_while_the_vendor_is_away_the_rest_of_a_batch_is_not_tried() -> None:
    """One call that fails is enough to know; every record is set apart and none is lost."""
    world = World()
    desk = world.vendors["desk"]
    records = [desk.put(title=title) for title in ("Cake", "Vows", "Toast")]
    desk.failures = [VendorUnavailable("503")]
    finish(translator(world, []).translate(webhook(world, *records)))
    assert [one.record_id for one in apart(world)] == records
    desk.failures = [VendorAuthFailed("401")]
    finish(translator(world, []).translate(replace(webhook(world, *records), webhook_id="2")))
    assert desk.failures == []
    parked = [reason for state, reason in world.memory.finished.values() if state == "parked"]
    assert parked == []  # they wait already


def test_an_event_that_trips_the_adapter_is_tried_and_parked() -> None:
    """What an adapter did not expect is told apart from our own trouble, which gives nothing up."""
    world = World()
    broken = replace(received(arrival(1)), integration_id=world.links[0].integration_id, body=b"{")
    finish(translator(world, []).translate(replace(broken, attempts=MAX_GARBLED)))
    state, reason = world.memory.finished["1"]
    assert state == "parked"
    assert "cannot be handled (JSONDecodeError)" in reason
    desk = world.vendors["desk"]
    record = desk.put(title="Cake")
    desk.poison = {record: Unavailable("PostgreSQL does not answer.")}
    with pytest.raises(Unavailable):
        finish(translator(world, []).translate(replace(webhook(world, record), webhook_id="2")))
    assert "2" not in world.memory.finished


def test_one_bad_record_does_not_stop_a_scan() -> None:
    """The records after it are read, the cursor moves on, and it is tried again by itself, once."""
    world = World()
    desk, link = world.vendors["desk"], world.links[0]
    bad = desk.put(title="?")
    desk.put(title="Cake")
    for error in (VendorUnavailable("500"), VendorRejected("not for you"), KeyError("title")):
        desk.poison = {bad: error}
        world.go_on(link)
    assert len(world.memory.activities) == 1
    assert world.memory.cursors[link.link_id] == {"at": 1}
    alone = [w for w in world.memory.webhooks if w.record_id == bad]
    assert len(alone) == 1
    desk.poison = {}
    finish(translator(world, []).translate(received(alone[0])))
    assert len(world.memory.activities) == 2


def test_records_that_fail_one_after_the_other_are_a_vendor_that_is_away() -> None:
    """The scan ends, is repeated from where it was, and nothing is skipped."""
    world = World()
    desk, link = world.vendors["desk"], world.links[0]
    records = [desk.put(title=title) for title in ("Cake", "Vows", "Toast")]
    desk.poison = dict.fromkeys(records, VendorUnavailable("503"))
    world.go_on(link)
    assert link.link_id not in world.memory.cursors
    assert any("failed" in poll for poll in world.memory.polls)
    desk.poison = {}
    world.go_on(link)
    assert len(world.memory.activities) == 3


def test_a_write_that_trips_the_adapter_is_tried_and_parked_alone() -> None:
    """The other deliveries go on."""
    world = World()
    items = [new_id() for _ in range(2)]
    for item in items:
        world.edit(ChangeKind.CREATE, item, {"title": "Cake"})
    world.settle()
    desk, link = world.vendors["desk"], world.links[0]
    record = world.memory.shadows[link.link_id, items[0]].record_id
    desk.poison = {record or "": TypeError("no text")}
    for item in items:
        world.edit(ChangeKind.UPDATE, item, {"title": "Vows"})
    world.hand_over()
    for _ in range(MAX_GARBLED):
        for claimed in world.due():
            world.deliver(claimed)
    rows = [row for row in world.memory.deliveries.values() if row.key.link_id == link.link_id]
    states = {row.key.item_id: row.state for row in rows if row.reason or row.state != "due"}
    assert states == {items[0]: "parked", items[1]: "delivered"}
    assert any("cannot be handled (TypeError)" in reason for reason in world.memory.reasons())


def test_a_click_that_is_replayed_is_the_same_click() -> None:
    """A replayed decision carries its first webhook's id, by which it is known."""
    world = World()
    decision = {"conflict_id": "c1", "choice": "proposed", "actor": "U1"}
    body = orjson.dumps({"records": [], "decisions": [decision]})
    finish(translator(world, []).translate(replace(webhook(world), body=body, parent_id="first")))
    assert world.decisions.made == [("c1", "proposed", "U1", "first")]
