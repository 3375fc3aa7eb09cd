"""Certification: a vendor that makes something else of what we write is written to at most twice an edit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.certification.world import OpenWorld, World
from wedsync.model.items import CATALOGUE, FieldType
from wedsync.testing.faults import Answer, Asked, Fault, rewriting

_ALWAYS = 1_000
_SECONDS = {"0730": "0700", "07:30": "07:00"}
_LISTS = {"anna": "zoe", "zoe": "anna"}
_TEXT = {"quiet": "LOUD"}


async def test_text_that_the_vendor_turns_into_another(world: World) -> None:
    """It shows what it made of it at once: both sides keep their own, and the next edits pass."""
    [item] = await world.shared("one")
    rewrite(world, _TEXT)
    await world.edit(item, "quiet")
    await settled(world)
    assert list((await world.hands.texts()).values()) == ["LOUD"]
    assert len(world.writes()) <= 2
    await world.edit(item, "a song")
    await world.agree("a song")
    assert len(world.writes()) <= 4


async def test_text_that_the_vendor_turns_into_another_later(world: World) -> None:
    """It answers what it was told, and shows something else afterwards: that is its own edit, made once."""
    [item] = await world.shared("one")
    rewrite(world, _TEXT, hidden=True)
    await world.edit(item, "quiet")
    await settled(world)
    await world.agree("LOUD")
    assert len(world.writes()) <= 2


async def test_two_accounts_that_turn_it_into_different_texts(world: World, open_world: OpenWorld) -> None:
    """Each keeps what it made of it, and neither is told of the other's over and over."""
    if not world.rules.create:
        pytest.skip(f"the manifest says that no {world.kind} is created from outside")
    other = await open_world(world.wedding_id)
    await other.connect()
    [item] = await world.shared("one")
    await other.agree("one")
    rewrite(world, {**_TEXT, "Soft": "LOUD"})
    rewrite(other, {"quiet": "Soft", "LOUD": "Soft"})
    await world.edit(item, "quiet")
    for _ in range(2):
        for each in (world, other):
            await settled(each)
    assert list((await world.hands.texts()).values()) == ["LOUD"]
    assert list((await other.hands.texts()).values()) == ["Soft"]
    assert len(world.writes()) <= 2
    assert len(other.writes()) <= 1 + 2


async def test_seconds_that_the_vendor_drops(world: World) -> None:
    """A time comes back without its seconds, and that is no edit."""
    [path, *_] = writable(world, FieldType.ZONED_TIME)
    [item] = await world.shared("one")
    rewrite(world, _SECONDS)
    await world.set(item, path, "2027-06-12T15:07:30[America/New_York]")
    await settled(world)
    assert 1 <= len(world.writes()) <= 2
    await world.edit(item, "zwei")
    await world.agree("zwei")
    assert len(world.writes()) <= 4


async def test_lists_that_the_vendor_puts_into_another_order(world: World) -> None:
    """A list comes back in another order, and that is no edit."""
    [path, *_] = writable(world, FieldType.TAGS)
    [item] = await world.shared("one")
    changes = len(world.changes())
    rewrite(world, _LISTS)
    await world.set(item, path, ("anna", "zoe"))
    await settled(world)
    assert len(world.writes()) == 1
    assert len(world.changes()) == changes


async def settled(world: World) -> None:
    """Let the vendor show what it made of it, and see that nothing goes on for ever."""
    await world.quiet()
    await world.looked()
    await world.rests()


def rewrite(world: World, words: Mapping[str, str], *, hidden: bool = False) -> None:
    """Have the vendor put other words in the place of some that we write; its answer may hide that."""
    back = rewriting({after: before for before, after in words.items()})

    def said(_: Asked, answer: Answer) -> Answer:
        # A version is given with a record that was kept as it came, and with no other.
        honest = {name: value for name, value in answer.headers.items() if name != "etag"}
        return replace(answer, body=back(answer.body)) if hidden else replace(answer, headers=honest)

    world.script.add(Fault(on=world.bench.is_write, times=_ALWAYS, request=rewriting(words), answer=said))


def writable(world: World, type_: FieldType) -> list[str]:
    """Return the fields of a type that are written; skip the test where there are none."""
    catalogue = CATALOGUE[world.kind]
    found = [
        path for path, rule in world.rules.fields.items() if rule.writable and catalogue[path].type is type_
    ]
    if not found:
        pytest.skip(f"the manifest has no field of type {type_} of a {world.kind} that is written")
    return found
