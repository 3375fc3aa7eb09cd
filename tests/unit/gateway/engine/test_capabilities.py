"""What a vendor cannot do is not asked of it, and what it refuses is not forgotten."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace

import pytest

from services.gateway.deliver.confirm import written
from services.gateway.deliver.plan import HELD, NOTHING_TO_DO, Rest, Write, confirmed, plan_delivery
from services.gateway.health_report import HealthReport, Tally
from services.gateway.metrics import observe_vendor_call, vendor_call_seconds
from services.gateway.observe import observe
from services.gateway.poll import MAX_PAGES, PAGES_A_TURN
from services.gateway.ports import _KEPT
from services.gateway.records import Intent, IntentKind, Shadow, Shown
from services.gateway.vendors.field_rules import Direction, KindRule
from services.gateway.vendors.port import BadRecord, Scan, VendorRecord, VendorRejected
from tests.support.gateway_vendor import EVENT, PLAIN, rule
from tests.support.gateway_world import World, finish
from wedsync.clock import FakeClock
from wedsync.model.changes import ChangeKind, Collision, FieldState, ItemState, Source
from wedsync.model.ids import new_id
from wedsync.model.items import FieldValue

ADA = Source(organization_id="studio", actor="ada")
DESK = Source(organization_id="studio", actor="desk", link_id="l", record_id="r")
LOCKED = KindRule(create=False, update=False, delete=False, fields=PLAIN.fields)
OPEN = Collision(sequence=2, proposed="Toast", proposed_by=DESK, current_by=ADA)


def item(*, deleted: bool = False, held: str = "", **fields: FieldValue) -> ItemState:
    """Return an item at revision 1."""

    def state(path: str, value: FieldValue) -> FieldState:
        return FieldState(value=value, revision=1, source=ADA, collision=OPEN if held == path else None)

    return ItemState(
        item_id="i",
        kind=EVENT,
        life=state("life", True if deleted else None),
        fields={path: state(path, value) for path, value in fields.items()},
    )


def shadow(*, present: bool = True, **fields: FieldValue) -> Shadow:
    """Return what a vendor showed."""
    shown = {path: Shown(value=value, revision=0) for path, value in fields.items()}
    return Shadow(link_id="l", item_id="i", kind=EVENT, record_id="r" if present else None, fields=shown)


@pytest.mark.parametrize(
    ("wanted", "known", "rules", "state", "word"),
    [
        (item(title="a"), shadow(), None, NOTHING_TO_DO, "does not keep"),
        (item(title="a"), shadow(present=False), LOCKED, NOTHING_TO_DO, "cannot be created"),
        (item(title="a"), shadow(title="b"), LOCKED, NOTHING_TO_DO, "cannot be changed"),
        (item(deleted=True), shadow(), LOCKED, NOTHING_TO_DO, "cannot be deleted"),
        (item(deleted=True), shadow(present=False), PLAIN, NOTHING_TO_DO, ""),
        (item(title="a"), shadow(title="a"), PLAIN, NOTHING_TO_DO, ""),
        (item(held="title", title="a"), shadow(title="b"), PLAIN, HELD, "title"),
        (item(held="life", title="a"), shadow(title="b"), PLAIN, HELD, "deleted_at"),
    ],
)
def test_rest_has_a_reason(
    wanted: ItemState, known: Shadow, rules: KindRule | None, state: str, word: str
) -> None:
    """Whatever is not written is not written for a reason that is said."""
    plan = plan_delivery(wanted, known, rules)
    assert isinstance(plan, Rest)
    assert plan.state == state
    assert word in plan.reason


def test_a_held_field_does_not_hold_up_the_others() -> None:
    """Only what is in conflict waits."""
    plan = plan_delivery(item(held="title", title="a", location="x"), shadow(title="b"), PLAIN)
    assert isinstance(plan, Write)
    assert plan.plain == {"location": "x"}


def test_bases_advance_only_for_what_the_vendor_shows() -> None:
    """Equal values count as seen, others do not; a vendor without the kind learns nothing."""
    known, wanted = shadow(title="a", location="y"), item(title="a", location="x")
    assert confirmed(wanted, known, None) is known
    fields = confirmed(wanted, known, PLAIN).fields
    assert (fields["title"].revision, fields["location"].revision) == (1, 0)


def test_a_vendors_own_default_is_nobodys_edit() -> None:
    """What a create left out and the vendor filled in is seen, heard or not, but not taken for an edit."""
    record = VendorRecord(record_id="r", kind=EVENT, version="", fields={"title": "a", "location": "hall"})
    ours = {"title": Shown(value="a", revision=1)}
    after = written(shadow(present=False), Write(kind=IntentKind.CREATE, values=ours), record, PLAIN.fields)
    assert after.fields["location"] == Shown(value="hall", revision=0)
    intent = Intent(intent_id="x", kind=IntentKind.CREATE, values=ours)
    seen = observe(shadow(present=False), [intent], record, PLAIN.fields)
    assert seen.change is None
    assert seen.shadow.fields["location"] == Shown(value="hall", revision=0)


def test_a_field_that_is_only_written_is_not_read() -> None:
    """What the vendor shows of a field that travels outwards only is no edit, nor is an unknown field."""
    record = VendorRecord(record_id="r", kind=EVENT, version="", fields={"title": "b", "odd": "c"})
    rules = {"title": rule(direction=Direction.OUT)}
    assert not observe(shadow(title="a"), [], record, rules).learned


def test_a_silent_rewrite_is_written_once() -> None:
    """A vendor that turns our value into another is not written to again for the same value."""
    world = World()
    created = new_id()
    world.edit(ChangeKind.CREATE, created, {"title": " Cake "})
    world.settle()
    before = world.writes()
    world.edit(ChangeKind.UPDATE, created, {"notes": "n"})
    world.settle()
    assert world.writes() == {"desk": before["desk"], "diary": before["diary"] + 1}
    assert world.canon.wedding.items[created].value("title") == " Cake "


def test_a_record_that_allows_no_changes_is_left_alone() -> None:
    """The delivery ends and says why."""
    world, created = World(), new_id()
    world.edit(ChangeKind.CREATE, created, {"title": "Cake"})
    world.settle()
    desk = world.vendors["desk"]
    [record_id] = desk.records
    desk.records[record_id] = replace(desk.records[record_id], writable=False)
    world.edit(ChangeKind.UPDATE, created, {"title": "Toast"})
    world.settle()
    assert desk.records[record_id].fields["title"] == "Cake"
    assert "the vendor allows no changes of this record" in world.memory.reasons()


def test_an_edit_met_by_a_delivery_goes_first() -> None:
    """A record that moved is not written over: its edit is committed, then both are merged."""
    world, created = World(), new_id()
    world.edit(ChangeKind.CREATE, created, {"title": "Cake"})
    world.settle()
    diary = world.vendors["diary"]
    [record_id] = diary.records
    diary.put(record_id, title="Toast")
    world.edit(ChangeKind.UPDATE, created, {"notes": "n"})
    world.hand_over()
    for claimed in world.due():
        world.deliver(claimed)
    assert "the vendor's record moved; its edit goes first" in world.memory.reasons()
    world.settle()
    assert world.differences() == []
    assert world.canon.wedding.items[created].value("title") == "Toast"


def test_busy_records_and_unknown_items_wait() -> None:
    """A leased record is tried again soon; without an item there is nothing to do."""
    world = World()
    world.edit(ChangeKind.CREATE, new_id(), {"title": "Cake"})
    world.hand_over()
    first, second = world.due()
    world.memory.leases[first.key.link_id, first.key.item_id] = "somebody else"
    world.deliver(first)
    # A correction of something that was never committed.
    world.memory.projection.clear()
    [correction] = world.memory.due(second.key)
    correction.sequence = 0
    world.deliver(second)
    assert world.memory.reasons() == ["the record is being worked on", "nothing is known of the item"]


def test_a_bad_record_is_parked_once_per_content() -> None:
    """The same garbage in every scan is one entry for a human; other garbage is another."""
    world = World()
    desk = world.vendors["desk"]
    for raw in (b"x", b"x", b"y"):
        desk.scans = [Scan(bad=[BadRecord(record_id="b", reason="no title", raw=raw)])]
        world.poll(world.links[0])
    assert [hook.body for hook in world.memory.webhooks] == [b"x", b"y"]
    assert all("no title" in hook.parked for hook in world.memory.webhooks)


def test_a_record_that_cannot_be_read_is_parked_alone() -> None:
    """A listed record that the vendor then refuses to show waits for a human; the next one is read."""
    world = World()
    desk = world.vendors["desk"]
    desk.put(title="Cake")
    desk.refused = {desk.put(title="Odd")}
    world.poll(world.links[0])
    assert len(world.memory.activities) == 1
    [parked] = world.memory.webhooks
    assert "not for you" in parked.parked


def test_a_vendor_that_never_says_the_last_page_is_broken() -> None:
    """The scan ends with an error, not never."""
    world = World()
    world.vendors["desk"].scans = [Scan(more=True, cursor={"page": n}) for n in range(MAX_PAGES + 1)]
    for _ in range(MAX_PAGES // PAGES_A_TURN):
        world.go_on(world.links[0])
    assert any("pages" in str(poll.get("error")) for poll in world.memory.polls)


def test_adapters_are_kept_within_a_bound() -> None:
    """A link's adapter is made once; beyond the bound the oldest is let go, and at the end all are."""
    world = World()
    ports, link = world.ports, world.links[0]
    assert finish(ports.open(link)) is finish(ports.open(link))
    for number in range(_KEPT):
        finish(ports.open(replace(link, link_id=str(number))))
    assert world.vendors["desk"].closed == 1
    finish(ports.aclose())
    assert world.vendors["desk"].closed == _KEPT + 1
    world.memory.integrations.clear()
    with pytest.raises(VendorRejected):
        finish(ports.open(link))


def test_an_account_is_opened_once_for_all_its_weddings() -> None:
    """Another link of the account asks for nothing; an account that was connected anew is opened anew."""
    world = World()
    ports, link = world.ports, world.links[0]
    finish(ports.open(link))
    world.memory.integrations.clear()
    finish(ports.open(replace(link, link_id="another")))
    assert len(ports.opened) == 2
    with pytest.raises(VendorRejected):
        finish(ports.open(replace(link, account_version=link.account_version + 1)))


def test_accounts_are_kept_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the account that was not used for longest is forgotten."""
    monkeypatch.setattr("services.gateway.ports._KEPT", 1)
    world = World()
    ports, link = world.ports, world.links[0]
    for version in (1, 2):
        finish(ports.open(replace(link, account_version=version)))
    world.memory.integrations.clear()
    finish(ports.open(replace(link, link_id="another", account_version=2)))
    with pytest.raises(VendorRejected):
        finish(ports.open(replace(link, account_version=1)))


async def test_reports_go_out_every_few_seconds() -> None:
    """The report runs until it is stopped."""
    clock = FakeClock()

    class Reports:
        async def send(self, tallies: Sequence[Tally]) -> None:
            """Take them."""

    running = asyncio.create_task(HealthReport(reports=Reports(), clock=clock).run())
    await asyncio.sleep(0)
    clock.advance(2.0)
    await asyncio.sleep(0)
    assert not running.done()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def test_vendor_calls_are_counted_without_the_host() -> None:
    """A host may name an account; method and status class do not."""
    observe_vendor_call("GET", "s3cret.example", 503, 0.1)
    samples = [sample for metric in vendor_call_seconds.collect() for sample in metric.samples]
    labels = [set(sample.labels.values()) for sample in samples]
    assert any({"GET", "5xx"} <= found for found in labels)
    assert not any("s3cret.example" in found for found in labels)
