"""A link stops by itself rather than lose something; what concerns it waits until somebody has looked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.gateway.observe import Observation
from services.gateway.stops import LinkStopped
from services.gateway.store.doubts import TooManyDeletes
from services.gateway.store.inbound import Cause
from services.gateway.store.leases import Held
from services.gateway.vendors.port import NotCalled, VendorAuthFailed
from tests.support.gateway_fakes import MemoryInbound
from tests.support.gateway_world import NOW, World, finish
from tests.unit.gateway.engine.test_engine_stories import deliver_all, record_of, shared_event
from tests.unit.gateway.engine.test_translate import translator, webhook
from wedsync.model.changes import Change, ChangeKind

REFUSED = VendorAuthFailed("401")


class Doubting(MemoryInbound):
    """Where the next delete is one too many."""

    async def commit_observation(
        self, held: Held, observation: Observation, change: Change | None, *rest: object, **more: object
    ) -> None:
        """Doubt deletes."""
        if change is not None and change.kind is ChangeKind.DELETE:
            raise TooManyDeletes(6, 8)


def test_a_write_that_meets_refused_credentials_stops_the_link_and_waits() -> None:
    """The vendor refuses the account, so the link is paused with the cure; the delivery stays due."""
    world = World()
    item = shared_event(world)
    world.edit(ChangeKind.UPDATE, item, {"title": "Vows"})
    world.hand_over()
    world.vendors["desk"].failures = [REFUSED, REFUSED]
    deliver_all(world)
    link = world.memory.links[world.links[0].link_id]
    assert (link.active, link.reason) == (False, "401. Connect the account again.")
    assert [claimed.key.link_id for claimed in world.due()] == [link.link_id]
    world.settle()
    assert world.differences() == []


def test_a_record_that_may_not_be_touched_is_parked_alone() -> None:
    """The account is let in otherwise: the link goes on."""
    world = World()
    item = shared_event(world)
    world.edit(ChangeKind.UPDATE, item, {"title": "Vows"})
    world.hand_over()
    world.vendors["desk"].failures = [REFUSED]
    deliver_all(world)
    assert world.memory.links[world.links[0].link_id].active
    assert "401. Connect the account again, then retry." in world.memory.reasons()


def test_a_webhook_that_meets_refused_credentials_stops_the_link_and_waits() -> None:
    """It is read once the account is connected again."""
    world = World()
    record = world.vendors["desk"].put(title="Cake")
    world.vendors["desk"].failures = [REFUSED, REFUSED]
    finish(translator(world, []).translate(webhook(world, record)))
    assert not world.memory.links[world.links[0].link_id].active
    again, reason = world.memory.finished["1"]
    assert again.startswith("again in ")
    assert reason == "the link is paused: 401. Connect the account again."


def test_a_webhook_of_a_paused_link_waits_for_it() -> None:
    """What it points at is not asked for meanwhile; afterwards it is."""
    world, link = World(), World().links[0]
    record = world.vendors["desk"].put(title="Cake")
    world.memory.links[link.link_id] = replace(link, active=False, reason="by request")
    finish(translator(world, []).translate(webhook(world, record)))
    assert world.memory.finished["1"][1] == "the link is paused: by request"
    assert world.memory.activities == []
    world.memory.links[link.link_id] = link
    finish(translator(world, []).translate(webhook(world, record)))
    assert world.memory.finished["1"] == ("processed", "")


def test_one_delete_too_many_stops_the_link_and_asks() -> None:
    """However the vendor tells of deletes, the question says how many, and how to answer it either way."""
    world = World()
    item = shared_event(world)
    record = record_of(world, 0, item)
    world.vendors["desk"].remove(record)
    world.inspector._inbound = Doubting(world.memory)
    with pytest.raises(LinkStopped):
        finish(world.inspector.look(world.links[0], record, Cause(trace_parent="", detected_at=NOW)))
    link = world.memory.links[world.links[0].link_id]
    assert not link.active
    resume = f"`wedsync link resume {link.link_id}"
    assert link.reason.startswith(
        "6 of 8 records are suddenly gone at the vendor. Were they deleted on purpose?"
    )
    assert f"Then say {resume} --believe-deletes`; if not," in link.reason
    assert link.reason.endswith(f"and say {resume}`.")
    assert not world.canon.wedding.items[item].deleted


def test_a_doubt_that_comes_after_its_answer_stops_no_link() -> None:
    """A person has said meanwhile that the deletes are meant: the record is looked at again in a moment."""
    world = World()
    record = record_of(world, 0, shared_event(world))
    world.vendors["desk"].remove(record)
    world.inspector._inbound = Doubting(world.memory)
    link = replace(world.links[0], deletes_believed_until=NOW)
    world.memory.links[link.link_id] = link
    with pytest.raises(NotCalled) as raised:
        finish(world.inspector.look(link, record, Cause(trace_parent="", detected_at=NOW)))
    assert not isinstance(raised.value, LinkStopped)
    assert raised.value.retry_after == 0.5
    assert world.memory.links[link.link_id].active
