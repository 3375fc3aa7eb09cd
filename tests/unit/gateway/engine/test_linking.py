"""A link that was planned: what is the same on both sides becomes one, through the whole engine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.gateway.accounts import Accounts
from services.gateway.link_plan import LinkPlan, LinkPlanner
from services.gateway.matching import Flow
from services.gateway.records import Link
from services.gateway.store.links import Match
from services.gateway.vendors.port import BadRecord, Scan, VendorUnavailable
from tests.support.gateway_fakes import MemorySecrets
from tests.support.gateway_links import MemoryLinks
from tests.support.gateway_stuck import MemoryProjection
from tests.support.gateway_world import World, finish
from tests.unit.gateway.http.front import FakeSync
from wedsync import errors
from wedsync.model.changes import ChangeKind
from wedsync.model.ids import new_id
from wedsync.model.items import ItemKind
from wedsync.runtime.principal import Principal, Scope
from wedsync.runtime.telemetry import Telemetry

ADA = Principal(
    organization_id="studio",
    role="studio",
    actor="ada",
    scopes=frozenset({Scope.READ, Scope.WRITE}),
    key_id="k",
)
NOON = "2027-06-12T12:00:00[Europe/Paris]"


class Desk:
    """A world whose desk is not linked yet, while the wedding has items already."""

    def __init__(self) -> None:
        self.world = World()
        self.link = self.world.links.pop(0)
        del self.world.memory.links[self.link.link_id]
        self.vendor = self.world.vendors["desk"]

    def item(self, **values: str) -> str:
        """Make an item in the wedding; the diary has it at once."""
        item = new_id()
        self.world.edit(ChangeKind.CREATE, item, dict(values))
        self.world.settle()
        return item

    def plan(self) -> LinkPlan:
        """Plan the link."""
        return finish(
            self._planner().plan(
                ADA,
                wedding_id=self.link.wedding_id,
                integration_id=self.link.integration_id,
                scope={"calendar": "c"},
            )
        )

    def make(self, matches: list[Match]) -> Link:
        """Make the link, with every item due for it as the real store does."""
        made = finish(
            MemoryLinks(self.world.memory).link(
                self.link, request_id=new_id(), trace_parent="", matches=matches
            )
        )
        self.world.links.insert(0, made)
        for sequence, item in self.world.memory.projection.values():
            self.world.deliveries.due_again(made, item, sequence)
        return made

    def _planner(self) -> LinkPlanner:
        memory, ports = self.world.memory, self.world.ports
        accounts = Accounts(
            vendors=ports.vendors,
            links=MemoryLinks(memory),
            secrets=MemorySecrets(memory),
            ports=ports,
            sync=FakeSync(),
            telemetry=Telemetry(),
            on_link=lambda: None,
            on_connect=lambda _: None,
        )
        return LinkPlanner(accounts=accounts, ports=ports, projection=MemoryProjection(memory))


def matches(plan: LinkPlan) -> list[Match]:
    """Return what the plan found, as the link takes it."""
    return [Match(record_id=same.record.record_id, item_id=same.item.item_id) for same, _ in plan.matches]


def test_a_plan_reads_and_writes_nothing() -> None:
    """It says what is on both sides, what is new on each and what is doubtful, and changes nothing."""
    desk = Desk()
    both = desk.item(title="Vows", starts_at=NOON)
    here, alike = desk.item(title="Cake"), desk.item(title="Toast", starts_at=NOON)
    vows = desk.vendor.put(title="Vows", starts_at=NOON, status="confirmed")
    there = desk.vendor.put(title="Fireworks", starts_at="2027-06-12T23:00:00[Europe/Paris]")
    doubtful = desk.vendor.put(title="toast")
    writes, log = desk.world.writes(), len(desk.world.canon.log)
    plan = desk.plan()
    [(same, differences)] = plan.matches
    assert (same.record.record_id, same.item.item_id, same.key) == (vows, both, "title, starts_at")
    assert [(d.path, d.flow) for d in differences] == [("status", Flow.TO_WEDDING)]
    assert [(d.record.record_id, d.items[0].item_id) for d in plan.review] == [(doubtful, alike)]
    assert [record.record_id for record in plan.new_in_wedding] == [there]
    assert [(item.item_id, reason) for item, reason in plan.new_at_vendor] == [(here, "")]
    assert (plan.unreadable, plan.truncated) == ([], False)
    assert (desk.world.writes(), len(desk.world.canon.log)) == (writes, log)
    assert not any(place[0] == desk.link.link_id for place in desk.world.memory.shadows)


@pytest.mark.parametrize("first", ["poll", "deliver"])
def test_what_was_matched_is_one_thing_whoever_comes_first(first: str) -> None:
    """Neither side gets a second one, gaps are filled in both ways, and what differs is a conflict."""
    desk = Desk()
    item = desk.item(title="Vows", starts_at=NOON, notes="bring rings", status="tentative")
    record = desk.vendor.put(title="Vows", starts_at=NOON, status="confirmed")
    plan = desk.plan()
    [(_, differences)] = plan.matches
    assert [(d.path, d.flow) for d in differences] == [("status", Flow.CONFLICT)]
    desk.make(matches(plan))
    world = desk.world
    if first == "poll":
        world.go_on(desk.link)
    for claimed in world.due():
        world.deliver(claimed)
    world.settle()
    assert list(desk.vendor.records) == [record]
    assert list(world.canon.wedding.items) == [item]
    status = world.canon.wedding.items[item].fields["status"]
    assert (status.value, status.collision is not None) == ("tentative", True)
    assert world.memory.shadows[desk.link.link_id, item].record_id == record
    assert world.differences() == []


def test_gaps_are_filled_in_on_both_sides() -> None:
    """What only one side has reaches the other, though nobody edits anything."""
    desk = Desk()
    item = desk.item(title="Vows", status="confirmed")
    record = desk.vendor.put(title="Vows", starts_at=NOON)
    desk.make([Match(record_id=record, item_id=item)])
    desk.world.settle()
    assert desk.world.canon.wedding.items[item].value("starts_at") == NOON
    assert list(desk.vendor.records) == [record]
    filled = Desk()
    item = filled.item(title="Vows", starts_at=NOON)
    record = filled.vendor.put(title="Vows")
    filled.make([Match(record_id=record, item_id=item)])
    filled.world.settle()
    assert filled.vendor.records[record].fields["starts_at"] == NOON


def test_a_match_whose_record_is_gone_is_made_anew() -> None:
    """People deleted it between the plan and the link: the wedding's item goes out."""
    desk = Desk()
    item = desk.item(title="Vows", starts_at=NOON)
    record = desk.vendor.put(title="Vows", starts_at=NOON)
    found = matches(desk.plan())
    desk.vendor.remove(record)
    desk.make(found)
    desk.world.settle()
    [made] = desk.vendor.records.values()
    assert (made.record_id != record, made.marker) == (True, item)
    assert not desk.world.canon.wedding.items[item].deleted


def test_without_matches_both_stay() -> None:
    """Nobody said that they are one: each is created on the other side, as the plan says."""
    desk = Desk()
    desk.item(title="Vows", starts_at=NOON)
    desk.vendor.put(title="Vows", starts_at=NOON)
    desk.make([])
    desk.world.settle()
    assert (len(desk.vendor.records), len(desk.world.canon.wedding.items)) == (2, 2)


def test_a_plan_has_an_end() -> None:
    """Pages are read to the last one or to a limit, and what could not be read is named."""
    desk = Desk()
    desk.vendor.put(title="Cake")
    listed = list(desk.vendor.records.values())
    bad = BadRecord(record_id="r9", reason="no start")
    desk.vendor.scans = [
        Scan(records=listed, cursor={"page": 1}, more=True),
        Scan(records=listed, bad=[bad], cursor={}),
    ]
    plan = desk.plan()
    assert (len(plan.new_in_wedding), plan.unreadable, plan.truncated) == (1, [bad], False)
    desk.vendor.scans = [Scan(records=listed, cursor={"page": n}, more=True) for n in range(200)]
    assert desk.plan().truncated
    assert len(desk.vendor.scans) == 100


def test_a_vendor_that_is_away_cannot_be_planned() -> None:
    """The caller is told to come back."""
    desk = Desk()
    desk.vendor.failures = [VendorUnavailable("503")]
    with pytest.raises(errors.Unavailable):
        desk.plan()


def test_messages_are_no_part_of_a_plan() -> None:
    """What was said before the link is not said again."""
    desk = Desk()
    item = desk.item(title="Vows")
    memory = desk.world.memory
    sequence, state = memory.projection[item]
    memory.projection[item] = (sequence, replace(state, kind=ItemKind.MESSAGE))
    assert desk.plan().new_at_vendor == []
