"""A webhook and a poll may come upon a record at the same moment: it stands for one item all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.gateway.vendors.port import VendorRecord
from tests.support.gateway_vendor import FakeVendor
from tests.support.gateway_world import DESK, World
from wedsync.model.changes import ChangeKind
from wedsync.model.ids import new_id


@dataclass
class Interrupted(FakeVendor):
    """A vendor at which something happens just after a record was read."""

    meanwhile: Callable[[], None] | None = None

    async def read(self, record_id: str) -> VendorRecord | None:
        """Read one record."""
        record = await super().read(record_id)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return record


def test_two_looks_at_a_new_record_make_one_item() -> None:
    """While one look reads a record it never saw, another names it: both name it alike."""
    desk = Interrupted(rules=DESK)
    world, record = World(desk), desk.put(title="Cake")
    desk.meanwhile = lambda: world.look(world.links[0], record)
    world.look(world.links[0], record)
    world.settle()
    assert [item.value("title") for item in world.canon.wedding.items.values()] == ["Cake"]
    assert {
        shadow.record_id for (link, _), shadow in world.memory.shadows.items() if link == a_desk(world)
    } == {record}


def test_a_look_at_what_we_are_just_creating_makes_no_item() -> None:
    """While a look reads a record with our marker, the create that made it is answered: it is no news."""
    desk = Interrupted(rules=DESK)
    world, item = World(desk), new_id()
    world.edit(ChangeKind.CREATE, item, {"title": "Cake"})
    world.hand_over()
    [claimed] = [due for due in world.due() if due.key.link_id == a_desk(world)]
    desk.lost_answers = 1
    world.deliver(claimed)
    [record] = desk.records
    desk.meanwhile = lambda: world.deliver(claimed)
    world.look(world.links[0], record)
    world.settle()
    assert list(world.canon.wedding.items) == [item]
    assert world.writes()["desk"] == 1


def a_desk(world: World) -> str:
    """Return the link to the desk."""
    return world.links[0].link_id


def test_an_old_write_that_lands_beside_an_edit_is_written_over() -> None:
    """The edit is taken, and what the late write brought back is no part of it."""
    world, item = World(), new_id()
    desk, link = world.vendors["desk"], world.links[0]
    world.edit(ChangeKind.CREATE, item, {"title": "Cake"})
    world.settle()
    [record] = desk.records
    desk.late = True
    world.edit(ChangeKind.UPDATE, item, {"title": "Old"})
    world.hand_over()
    [claimed] = [due for due in world.due() if due.key.link_id == link.link_id]
    world.deliver(claimed)
    late, desk.landing = desk.landing, []
    world.edit(ChangeKind.UPDATE, item, {"title": "New"})
    world.settle()
    desk.landing = late
    desk.land()
    desk.put(record, status="tentative")
    world.look(link, record)
    assert [due.key.link_id for due in world.due()] == [link.link_id]
    world.settle()
    told = world.canon.wedding.items[item]
    assert (told.value("title"), told.value("status")) == ("New", "tentative")
    assert desk.records[record].fields["title"] == "New"
