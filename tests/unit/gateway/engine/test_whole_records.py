"""A vendor whose webhooks show records whole, and whose versions rise and guard its writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson
import pytest

from services.gateway.vendors.inbound import Place
from services.gateway.vendors.port import VendorRecord, VendorUnavailable, VersionMismatch
from services.gateway.vendors.versions import Versions
from tests.support.gateway_vendor import FakeVendor, manifest
from tests.support.gateway_world import DESK, World, finish
from tests.unit.gateway.engine.test_translate import translator, webhook
from wedsync.model.changes import ChangeKind
from wedsync.model.items import FieldValue, ItemKind

_INBOUND = manifest().inbound


@dataclass
class Showing(FakeVendor):
    """Counts its versions and what it is asked for; refuses to be written over."""

    asked: list[str] = field(default_factory=list)

    def show(self, record_id: str) -> bytes:
        """Return a webhook's body that shows a record as it is now."""
        shown = asdict(self.records[record_id])
        return orjson.dumps({"records": [record_id], "shown": [shown]})

    def shown(self, event: Mapping[str, Any]) -> Sequence[VendorRecord]:
        """Return what an event shows."""
        return [VendorRecord(**{**each, "kind": ItemKind(each["kind"])}) for each in event["shown"]]

    async def read(self, record_id: str) -> VendorRecord | None:
        """Read one record."""
        self.asked.append("read")
        return await super().read(record_id)

    async def update(self, record: VendorRecord, values: Mapping[str, FieldValue]) -> VendorRecord:
        """Write values over one version."""
        self.asked.append("update")
        if record.version != self.records[record.record_id].version:
            raise VersionMismatch("it moved")
        return await super().update(record, values)

    def _version(self) -> str:
        self._numbers += 1
        return str(self._numbers)


@pytest.fixture(name="desk")
def _desk() -> Showing:
    return _desk_that_says()


def _desk_that_says(**more: Any) -> Showing:
    inbound = replace(_INBOUND, whole_records=True, **more) if _INBOUND else None
    says = {"versions": Versions(rise=True, guard_writes=True), "inbound": inbound}
    return Showing(rules=DESK, says=says)


@pytest.fixture(name="world")
def _world(desk: Showing) -> World:
    return World(desk)


@pytest.fixture(name="record")
def _record(world: World, desk: Showing) -> str:
    return _record_of(world, desk)


def _record_of(world: World, desk: Showing) -> str:
    """Return a record both sides know."""
    record = desk.put(title="Cake")
    world.settle()
    desk.asked.clear()
    return record


def told(world: World, *bodies: bytes) -> None:
    """Let webhooks come, and what they changed be committed."""
    for body in bodies:
        finish(translator(world, []).translate(replace(webhook(world), body=body)))
    world.dispatch()


def delivered(world: World) -> None:
    """Let what is due be delivered, or fail."""
    world.hand_over()
    for claimed in world.due():
        world.deliver(claimed)


def title(world: World) -> FieldValue:
    """Return the title of the wedding's only item."""
    [item] = world.canon.wedding.items.values()
    return item.value("title")


def test_news_is_not_read(world: World, desk: Showing, record: str) -> None:
    """What the webhook shows becomes the change, with nothing asked; told again it is known."""
    desk.put(record, title="Toast")
    told(world, desk.show(record), desk.show(record))
    assert (title(world), desk.asked) == ("Toast", [])
    assert world.memory.finished["1"] == ("processed", "it shows what is known already")


def test_what_comes_late_brings_nothing_back(world: World, desk: Showing, record: str) -> None:
    """Whatever order they come in, the newest stays."""
    bodies = []
    for text in ("Toast", "First dance", "Farewell"):
        desk.put(record, title=text)
        bodies.append(desk.show(record))
    told(world, *reversed(bodies), *bodies)
    assert (title(world), desk.asked) == ("Farewell", [])
    assert [entry.change.kind for entry in world.canon.log][1:] == [ChangeKind.UPDATE]


def test_a_record_that_came_and_went_is_not_born_by_a_late_webhook(world: World, desk: Showing) -> None:
    """Of what was never seen the vendor is asked whether it is there."""
    record = desk.put(title="Cake")
    late = desk.show(record)
    desk.remove(record)
    told(world, late)
    assert (world.canon.wedding.items, desk.asked) == ({}, ["read"])


def test_a_deleted_record_is_not_brought_back_by_a_late_webhook(
    world: World, desk: Showing, record: str
) -> None:
    """What was shown before the delete is news by its number only."""
    desk.put(record, title="Toast")
    late = desk.show(record)
    desk.remove(record)
    world.settle()
    told(world, late)
    [item] = world.canon.wedding.items.values()
    assert item.deleted


def test_what_was_between_two_polls_is_late_for_ever(world: World, desk: Showing, record: str) -> None:
    """A poll that finds the same value under a greater version has seen what came after."""
    desk.put(record, title="Toast")
    late = desk.show(record)
    desk.put(record, title="Cake")
    world.settle()
    told(world, late)
    assert title(world) == "Cake"


def test_a_guarded_write_is_one_call(world: World, desk: Showing, record: str) -> None:
    """Nothing is read before it, as long as nothing is unknown."""
    [item] = world.canon.wedding.items
    world.edit(ChangeKind.UPDATE, item, {"title": "Toast"})
    delivered(world)
    assert (desk.records[record].fields["title"], desk.asked) == ("Toast", ["update"])


@pytest.mark.parametrize("lost", [True, False], ids=["its answer is lost", "it is refused"])
def test_after_a_write_that_failed_the_record_is_read(
    world: World, desk: Showing, record: str, *, lost: bool
) -> None:
    """Whatever became of it: what the vendor shows tells what was ours and what was not."""
    [item] = world.canon.wedding.items
    world.edit(ChangeKind.UPDATE, item, {"title": "Toast"})
    if lost:
        desk.lost_answers = 1
    else:
        desk.failures.append(VendorUnavailable("busy"))
    delivered(world)
    world.settle()
    assert desk.asked[:2] == ["update", "read"]
    assert (title(world), desk.records[record].fields["title"]) == ("Toast", "Toast")
    assert len(world.canon.log) == 2


def test_a_guarded_write_goes_over_no_newer_version(world: World, desk: Showing, record: str) -> None:
    """What people did there unseen comes in first; both edits are kept."""
    [item] = world.canon.wedding.items
    world.edit(ChangeKind.UPDATE, item, {"title": "Toast"})
    desk.put(record, status="confirmed")
    delivered(world)
    assert (desk.records[record].fields["title"], desk.asked) == ("Cake", ["update"])
    world.settle()
    assert desk.records[record].fields["title"] == "Toast"
    assert world.canon.wedding.items[item].value("status") == "confirmed"


@pytest.mark.parametrize(
    ("place", "looks"),
    [("c", 1), ("elsewhere", 0), (None, 1), (7, 1)],
    ids=["here", "away", "nowhere", "odd"],
)
def test_an_event_is_shown_to_the_links_it_can_be_about(place: object, looks: int) -> None:
    """Where the manifest says where an event names its place, links of other places are not asked."""
    desk = _desk_that_says(scope_at=("calendar", Place(part="json", name="/place")))
    world = World(desk)
    record = _record_of(world, desk)
    desk.put(record, title="Toast")
    body = orjson.loads(desk.show(record)) | {"place": place}
    told(world, orjson.dumps(body))
    assert len(world.canon.log) == 1 + looks
