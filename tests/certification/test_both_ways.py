"""Certification: what people do on either side arrives on the other, once, and does not come back."""

from __future__ import annotations

import pytest

from tests.certification.bench import able
from tests.certification.world import World
from wedsync.model.changes import ChangeKind
from wedsync.model.items import ItemKind


async def test_what_people_do_at_the_vendor_arrives_once(world: World, each_kind: ItemKind) -> None:
    """A record made, changed and deleted there is one change of ours each, and no write goes back."""
    if "make" not in world.hands.cannot:
        await world.hands.make("vows")
    [record] = await world.hands.texts()
    await world.looked()
    await world.agree(*(await world.hands.texts()).values())
    await world.hands.edit(record, "the vows")
    await world.looked()
    await world.agree("the vows")
    expected = [ChangeKind.CREATE, ChangeKind.UPDATE]
    if "remove" not in world.hands.cannot:
        await world.hands.remove(record)
        await world.looked()
        await world.agree()
        expected.append(ChangeKind.DELETE)
    assert [change.kind for change in world.changes()] == expected
    assert world.writes() == []


async def test_what_we_create_change_and_delete_arrives_once(world: World, each_kind: ItemKind) -> None:
    """Each is one write there, and none comes back as an edit of the vendor's."""
    rules = world.manifest.kinds[each_kind]
    if not rules.create:
        pytest.skip(f"the manifest says that no {each_kind} is created from outside")
    item = await world.create("dinner")
    await world.agree("dinner")
    writes = 1
    if rules.update:
        await world.edit(item, "a late dinner")
        await world.agree("a late dinner")
        writes += 1
    if rules.delete:
        await world.delete(item)
        await world.agree()
        writes += 1
    assert len(world.writes()) == writes
    assert world.changes() == []


async def test_we_change_what_people_made_there(world: World, each_kind: ItemKind) -> None:
    """A record of theirs takes our edit in one write, and keeps it."""
    able(world.hands, "let_us_edit")
    rules = world.manifest.kinds[each_kind]
    if not rules.update:
        pytest.skip(f"the manifest says that no {each_kind} is changed from outside")
    if "make" not in world.hands.cannot:
        await world.hands.make("vows")
    [text] = (await world.hands.texts()).values()
    await world.looked()
    await world.agree(text)
    await world.edit(world.item(text), "our vows")
    await world.agree("our vows")
    assert len(world.writes()) == 1
