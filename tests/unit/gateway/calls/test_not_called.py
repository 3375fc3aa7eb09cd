"""What becomes of work whose vendor was not called: it waits with a reason, and no try is counted."""

from __future__ import annotations

import pytest

from services.gateway.deliver.retry import MAX_ATTEMPTS, Again, after_failure
from services.gateway.records import Link
from services.gateway.vendors.port import BudgetSpent, NotCalled, VendorResting
from tests.support.gateway_vendor import FakePorts
from tests.support.gateway_world import World
from wedsync.model.changes import ChangeKind
from wedsync.model.ids import new_id


@pytest.fixture
def world() -> World:
    """A wedding with two vendors and an edit that both are to be told."""
    made = World()
    made.edit(ChangeKind.CREATE, new_id(), {"title": "Vows"})
    made.hand_over()
    return made


@pytest.mark.parametrize(
    "error", [VendorResting("down", retry_after=30.0), BudgetSpent("full", retry_after=30.0)]
)
def test_it_is_never_given_up(error: NotCalled) -> None:
    """However often, it is tried again, after the time named and a spread."""
    for attempts in (1, MAX_ATTEMPTS, 10 * MAX_ATTEMPTS):
        assert after_failure(error, attempts=attempts, dice=0.0) == Again(seconds=30.0)
        assert after_failure(error, attempts=attempts, dice=0.99).seconds > 37  # type: ignore[union-attr]


def test_a_delivery_waits_with_the_reason_and_without_a_try(world: World) -> None:
    """A write that was not made is due later, says why, and has used up none of its tries."""
    world.vendors["desk"].failures = [BudgetSpent("the vendor allows no more", retry_after=4.0)]
    for claimed in world.due():
        world.deliver(claimed)
    [waiting] = [row for row in world.memory.deliveries.values() if row.state == "due"]
    assert (waiting.attempts, waiting.reason) == (0, "the vendor allows no more")
    assert 4.0 <= waiting.seconds <= 5.0
    assert len(world.vendors["diary"].writes) == 1


def test_while_a_vendor_rests_its_deliveries_do_not_even_begin(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither record nor vendor is touched while it rests, and the other vendor gets its write."""

    def rest(_: FakePorts, link: Link) -> VendorResting | None:
        return VendorResting("it is down", retry_after=8.0) if link.vendor == "desk" else None

    monkeypatch.setattr(FakePorts, "rest", rest)
    for claimed in world.due():
        world.deliver(claimed)
    [waiting] = [row for row in world.memory.deliveries.values() if row.state == "due"]
    assert (waiting.attempts, waiting.reason) == (0, "it is down")
    assert (len(world.vendors["desk"].writes), len(world.vendors["diary"].writes)) == (0, 1)


def test_a_poll_is_put_off_and_not_slowed_down(world: World) -> None:
    """A scan that was not made is made later, and counts as no failure, by which polls become rarer."""
    world.vendors["desk"].failures = [BudgetSpent("the vendor allows no more", retry_after=4.0)]
    world.poll(world.links[0])
    assert [set(entry) for entry in world.memory.polls] == [{"records", "looked_at", "error"}, {"later"}]
    assert world.memory.polls[0]["error"] == "the vendor allows no more"
    assert 4.0 <= world.memory.polls[1]["later"] <= 5.0
