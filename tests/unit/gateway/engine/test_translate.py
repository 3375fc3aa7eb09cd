"""A webhook becomes looks at records."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import orjson
import pytest

from services.gateway.apart import Apart
from services.gateway.inspect_record import Inspector
from services.gateway.store.inbound import Received
from services.gateway.translate import Translator
from services.gateway.vendors.port import VendorAuthFailed, VendorError, VendorUnavailable
from tests.support.gateway_fakes import MemoryActivities, MemoryInbound, MemoryLeases, by_table, received
from tests.support.gateway_links import MemoryLinks
from tests.support.gateway_world import World, finish
from tests.unit.gateway.engine.test_arrivals import arrival
from wedsync.clock import FakeClock
from wedsync.runtime.telemetry import Telemetry


def translator(world: World, woken: list[int]) -> Translator:
    """Return a translator over the world's tables."""
    links, inbound = MemoryLinks(world.memory), MemoryInbound(world.memory)
    inspector = Inspector(
        ports=world.ports,
        links=links,
        leases=MemoryLeases(world.memory),
        inbound=inbound,
        onward=by_table(lambda limit, _: MemoryActivities(world.memory).claim(limit)),
        telemetry=Telemetry(),
        clock=FakeClock(),
    )
    return Translator(
        inbound=inbound,
        links=links,
        apart=Apart(inbound),
        ports=world.ports,
        inspector=inspector,
        decisions=world.decisions,
        on_wake=lambda: woken.append(2),
    )


def webhook(world: World, *records: str) -> Received:
    """Return a webhook about records of the desk."""
    got = received(arrival(1))
    body = orjson.dumps({"records": list(records)})
    return replace(got, integration_id=world.links[0].integration_id, body=body)


def test_every_record_it_points_at_is_looked_at() -> None:
    """Each becomes a change; what lies outside the link is passed over."""
    world, woken = World(), list[int]()
    desk = world.vendors["desk"]
    first, foreign = desk.put(title="Cake"), desk.put(title="Other")
    desk.foreign = {foreign}
    finish(translator(world, woken).translate(webhook(world, foreign, first)))
    assert world.memory.finished == {"1": ("processed", "")}
    assert len(world.memory.activities) == 1
    assert world.memory.activities[0].cause.webhook_id == "1"
    assert woken == []


def test_a_webhook_that_concerns_nobody_says_so() -> None:
    """Nothing is read where it points at no record, nor without a link."""
    world = World()
    finish(translator(world, []).translate(webhook(world)))
    assert world.memory.finished["1"] == ("processed", "it points at no record that is linked")
    world.memory.links.clear()
    finish(translator(world, []).translate(webhook(world)))
    assert world.memory.finished["1"] == ("processed", "no active link is concerned")


@pytest.mark.parametrize(
    ("error", "state"), [(VendorAuthFailed("401"), "parked"), (VendorUnavailable("503"), "again")]
)
def test_what_fails_is_tried_again_or_parked(error: VendorError, state: str) -> None:
    """Trouble that passes is waited out; trouble that stays is kept with its reason."""
    world = World()
    desk = world.vendors["desk"]
    record = desk.put(title="Cake")
    desk.failures = [error]
    finish(translator(world, []).translate(webhook(world, record)))
    [(became, reason)] = world.memory.finished.values()
    assert became.startswith(state)
    assert str(error) in reason


async def test_a_record_that_somebody_works_on_is_left_for_later() -> None:
    """After a bounded wait the webhook goes back to the queue."""
    world = World()
    record = world.vendors["desk"].put(title="Cake")
    world.look(world.links[0], record)
    [place] = world.memory.shadows
    world.memory.leases[place] = "somebody else"
    engine = translator(world, [])
    clock = engine._inspector._clock
    assert isinstance(clock, FakeClock)
    work = asyncio.create_task(engine.translate(webhook(world, record)))
    while not work.done():
        await asyncio.sleep(0)
        clock.advance(1)
    assert "worked on" in world.memory.finished["1"][1]


def test_a_webhook_about_a_record_that_never_was_changes_nothing() -> None:
    """A hint about something already gone is answered by reading it."""
    world = World()
    finish(translator(world, []).translate(webhook(world, "r99")))
    assert world.memory.activities == []


def test_a_webhook_that_shows_nothing_new_says_why() -> None:
    """A record read a second time is known; one that we wrote ourselves is an echo."""
    world = World()
    desk = world.vendors["desk"]
    record = desk.put(title="Cake")
    world.look(world.links[0], record)
    finish(translator(world, []).translate(webhook(world, record)))
    assert world.memory.finished["1"] == ("processed", "it shows what is known already")


def _clicked(world: World) -> Received:
    decision = {"conflict_id": "c1", "choice": "proposed", "actor": "U1"}
    body = orjson.dumps({"records": [], "decisions": [decision]})
    return replace(webhook(world), body=body)


def test_what_a_person_decided_is_taken_to_where_conflicts_are_kept() -> None:
    """A click becomes one decision, and the webhook says what became of it."""
    world = World()
    finish(translator(world, []).translate(_clicked(world)))
    assert world.decisions.made == [("c1", "proposed", "U1", "1")]
    assert world.memory.finished["1"] == ("processed", "a decision of U1")


def test_a_decision_that_cannot_be_handed_over_waits() -> None:
    """While the conflicts service is away the click is kept and tried again."""
    world = World()
    world.decisions.error = VendorUnavailable("the conflicts service is away")
    finish(translator(world, []).translate(_clicked(world)))
    became, reason = world.memory.finished["1"]
    assert became.startswith("again")
    assert reason == "the conflicts service is away"


def test_what_came_by_a_channel_wakes_its_link_and_reads_nothing() -> None:
    """The link is polled at once, other links of the account are not, and no record is looked at."""
    world, woken = World(), list[int]()
    link = world.links[0]
    world.vendors["desk"].put(title="Cake")
    told = replace(webhook(world), body=b"{}", wakes=(link.link_id,))
    finish(translator(world, woken).translate(told))
    assert world.memory.polls == [{"now": link.link_id}]
    assert world.memory.finished == {"1": ("processed", "the vendor is asked at once what moved")}
    assert world.memory.activities == []
    assert 2 in woken
    finish(translator(world, woken).translate(replace(told, wakes=("another",))))
    assert world.memory.finished == {"1": ("processed", "no active link is concerned")}
    assert len(world.memory.polls) == 1
