"""Two vendors and the truth: whatever happens in whatever order, they come to agree, and come to rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.gateway.records import Link
from services.gateway.vendors.port import VendorRecord, VendorUnavailable
from tests.support.gateway_world import World, restored
from wedsync.model.changes import ChangeKind, ItemState
from wedsync.model.ids import new_id
from wedsync.model.items import FieldValue

Entry = TypeVar("Entry")
FAULTS = ("none", "none", "refused", "lost answer", "late", "dies before", "dies after")
sides = st.sampled_from((0, 1))
picks = st.integers(0, 5)
values = st.sampled_from(
    [
        ("title", "First dance"),
        ("title", " First dance "),
        ("title", "Cake"),
        ("title", None),
        ("starts_at", "2027-06-12T15:00:00[Europe/Paris]"),
        ("starts_at", "2027-06-12T15:00:30[Europe/Paris]"),
        ("starts_at", "2027-06-12T16:00:00[Europe/Paris]"),
        ("notes", "bring flowers"),
        ("notes", "bring flowers \n"),
        ("status", "confirmed"),
        ("status", "tentative"),
    ]
)


class TwoWay(RuleBasedStateMachine):
    """People edit at both vendors and through the API while the engine works and fails."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.binned: dict[str, list[VendorRecord]] = {"desk": [], "diary": []}
        self.listed: dict[str, list[VendorRecord]] = {"desk": [], "diary": []}

    @rule(side=sides, value=values)
    def people_create(self, side: int, value: tuple[str, FieldValue]) -> None:
        """Somebody makes a new event."""
        self.world.vendors[self._link(side).vendor].put("", **dict([value]))

    @rule(side=sides, pick=picks, value=values)
    def people_edit(self, side: int, pick: int, value: tuple[str, FieldValue]) -> None:
        """Somebody edits one field."""
        if (record_id := self._record(side, pick)) is not None:
            self.world.vendors[self._link(side).vendor].put(record_id, **dict([value]))

    @rule(side=sides, pick=picks)
    def people_delete(self, side: int, pick: int) -> None:
        """Somebody deletes an event."""
        if (record_id := self._record(side, pick)) is not None:
            vendor = self._link(side).vendor
            self.binned[vendor].append(self.world.vendors[vendor].remove(record_id))

    @rule(side=sides, pick=picks)
    def people_restore(self, side: int, pick: int) -> None:
        """Somebody takes an event out of the bin."""
        vendor = self._link(side).vendor
        if (record := _pick(self.binned[vendor], pick)) is not None:
            self.binned[vendor].remove(record)
            self.world.vendors[vendor].records[record.record_id] = restored(record)

    @rule(value=values)
    def api_create(self, value: tuple[str, FieldValue]) -> None:
        """A service creates an item."""
        self.world.edit(ChangeKind.CREATE, new_id(), dict([value]))

    @rule(pick=picks, value=values, insists=st.booleans(), behind=st.integers(0, 4))
    def api_edit(self, pick: int, value: tuple[str, FieldValue], insists: bool, behind: int) -> None:
        """A service edits an item, perhaps on an old base."""
        if (item := self._item(pick)) is not None:
            base = None if insists else max(0, self.world.canon.wedding.sequence - behind)
            self.world.edit(ChangeKind.UPDATE, item.item_id, dict([value]), base)

    @rule(pick=picks, kind=st.sampled_from([ChangeKind.DELETE, ChangeKind.RESTORE]))
    def api_life(self, pick: int, kind: ChangeKind) -> None:
        """A service deletes or restores an item, and so decides about its life."""
        if (item := self._item(pick)) is not None:
            self.world.edit(kind, item.item_id)

    @rule(side=sides, pick=picks, times=st.integers(1, 2))
    def look(self, side: int, pick: int, times: int) -> None:
        """A webhook arrives, once or twice, perhaps about a record that is gone."""
        link = self._link(side)
        known = [*self.world.vendors[link.vendor].records, *(r.record_id for r in self.binned[link.vendor])]
        if (record_id := _pick(known, pick)) is not None:
            for _ in range(times):
                self.world.look(link, record_id)

    @rule(side=sides)
    def vendor_lists(self, side: int) -> None:
        """A list is taken now that will be read later."""
        vendor = self._link(side).vendor
        self.listed[vendor] = list(self.world.vendors[vendor].records.values())

    @rule(side=sides, stale=st.booleans())
    def poll(self, side: int, stale: bool) -> None:
        """A poll sees a list, perhaps an old one."""
        link = self._link(side)
        self.world.poll(link, self.listed[link.vendor] if stale else None)

    @rule(lost=st.booleans())
    def dispatch(self, lost: bool) -> None:
        """Translated changes are sent; the answer may be lost."""
        self.world.canon.lose_answer = lost
        self.world.dispatch()
        self.world.canon.lose_answer = False

    @rule(pick=picks)
    def hand_over_one(self, pick: int) -> None:
        """One commit arrives, out of order, and will arrive again."""
        if (commit := _pick(self.world.canon.outbox, pick)) is not None:
            self.world.hand_over([commit])

    @rule()
    def hand_over_all(self) -> None:
        """All commits arrive."""
        self.world.hand_over()

    @precondition(lambda self: self.world.due())
    @rule(pick=picks, fault=st.sampled_from(FAULTS))
    def deliver(self, pick: int, fault: str) -> None:
        """One record is brought up to date, or that fails in one of the ways things fail."""
        claimed = _pick(self.world.due(), pick)
        assert claimed is not None
        vendor = self.world.vendors[self.world.memory.links[claimed.key.link_id].vendor]
        vendor.failures = [VendorUnavailable("busy")] if fault == "refused" else []
        vendor.lost_answers, vendor.late = int(fault == "lost answer"), fault == "late"
        self.world.leases.die, self.world.deliveries.die = fault == "dies before", fault == "dies after"
        self.world.deliver(claimed)
        vendor.failures, vendor.lost_answers, vendor.late = [], 0, False
        self.world.leases.die = self.world.deliveries.die = False

    @rule(side=sides)
    def late_writes_land(self, side: int) -> None:
        """What nobody heard of any more is carried out."""
        self.world.vendors[self._link(side).vendor].land()

    @rule()
    def quiesce(self) -> None:
        """Everything still to come happens."""
        self._come_to_rest()

    @invariant()
    def no_accepted_edit_vanishes(self) -> None:
        """What was applied is in the log, once."""
        logged = [entry.change.change_id for entry in self.world.canon.log]
        assert len(logged) == len(set(logged))
        for row in self.world.memory.activities:
            if row.result is not None and row.result.sequence:
                assert row.activity.change.change_id in logged

    def teardown(self) -> None:
        """Whatever happened, it ends well."""
        self._come_to_rest()

    def _come_to_rest(self) -> None:
        self.world.settle()
        differences = self.world.differences()
        assert not differences, differences
        for link in self.world.links:
            present = {s.record_id for s in self.world.memory.shadows.values() if s.link_id == link.link_id}
            assert set(self.world.vendors[link.vendor].records) <= present | self._asked_about(link)
        before = self.world.writes()
        assert self.world.round()
        assert self.world.writes() == before

    def _asked_about(self, link: Link) -> set[str | None]:
        """Return the records that people are asked about: what was made twice may be a copy of theirs."""
        ends = self.world.memory.finished
        apart = [w for w in self.world.memory.webhooks if w.link_id == link.link_id]
        return {w.record_id for w in apart if ends.get(w.webhook_id, ("", ""))[0] == "parked"}

    def _link(self, side: int) -> Link:
        return self.world.links[side]

    def _record(self, side: int, pick: int) -> str | None:
        return _pick(list(self.world.vendors[self._link(side).vendor].records), pick)

    def _item(self, pick: int) -> ItemState | None:
        return _pick(list(self.world.canon.wedding.items.values()), pick)


def _pick(from_: Sequence[Entry], pick: int) -> Entry | None:
    return from_[pick % len(from_)] if from_ else None


TwoWay.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestTwoWay = TwoWay.TestCase


def test_a_record_made_anew_is_found_although_its_create_was_never_answered() -> None:
    """After delete and restore the new record carries our marker; a poll takes it for the item it is."""
    state = TwoWay()
    state.api_create(value=("title", "First dance"))
    state.quiesce()
    state.people_delete(pick=0, side=0)
    state.quiesce()
    state.api_life(kind=ChangeKind.RESTORE, pick=0)
    state.hand_over_all()
    state.deliver(fault="lost answer", pick=0)
    state.teardown()
    assert len(state.world.canon.wedding.items) == 1


def test_a_record_back_from_the_bin_beside_its_successor_is_an_item_of_its_own() -> None:
    """Its item was restored elsewhere and lives in another record here: no edit of either is refused."""
    state = TwoWay()
    state.people_create(side=0, value=("title", "First dance"))
    state.quiesce()
    for side in (0, 1):
        state.people_delete(side=side, pick=0)
    state.quiesce()
    for side in (1, 0):
        state.people_restore(side=side, pick=0)
        state.quiesce()
    state.teardown()
    assert len(state.world.canon.wedding.items) == 2


@given(st.lists(st.tuples(st.integers(0, 2), values), min_size=1, max_size=4))
@settings(max_examples=50, deadline=None)
def test_an_edit_costs_at_most_two_writes_per_vendor(edits: list[tuple[int, tuple[str, FieldValue]]]) -> None:
    """When nobody else edits, each edit is written at most twice to each vendor, wherever it was made."""
    world, item = World(), new_id()
    world.edit(ChangeKind.CREATE, item, {"title": "Cake", "notes": "n"})
    world.settle()
    for where, value in edits:
        before = world.writes()
        if where == 2:
            world.edit(ChangeKind.UPDATE, item, dict([value]))
        else:
            link = world.links[where]
            record_id = world.memory.shadows[link.link_id, item].record_id
            world.vendors[link.vendor].put(record_id or "", **dict([value]))
        world.settle()
        assert world.differences() == []
        assert all(count - before[vendor] <= 2 for vendor, count in world.writes().items())
