"""Certification: whatever is wrong while the vendor is looked at, no edit is lost, doubled or made up."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.certification.bench import able
from tests.certification.world import World
from wedsync.model.changes import ChangeKind
from wedsync.testing.faults import Answer, Asked, Fault

_ALWAYS = 1_000
_MANY = 8
_GARBAGE = Answer(status=200, headers={"content-type": "text/html"}, body=b"<html>We will be back</html>")


async def test_a_look_that_fails_is_made_again(world: World) -> None:
    """Broken, silent, cut off, garbled and half an answer: what people did arrives once all the same."""
    able(world.hands, "make")
    for text in ("one", "two"):
        await world.hands.make(text)
    world.script.add(
        Fault(on=world.is_read, instead=Answer(status=500)),
        Fault(on=world.is_read, silent=True),
        Fault(on=world.is_read, cut=True),
        Fault(on=world.is_read, instead=_GARBAGE),
        Fault(on=world.is_read, answer=_half),
    )
    await world.looked()
    await world.agree("one", "two")
    assert [change.kind for change in world.changes()] == [ChangeKind.CREATE] * 2
    assert world.writes() == []


async def test_credentials_refused_in_the_midst_of_a_look_stop_it(world: World) -> None:
    """Nothing is taken for deleted; once the account is connected again, what is there comes in."""
    able(world.hands, "make")
    for text in ("one", "two", "three"):
        await world.hands.make(text)
    refusal = Fault(on=world.is_read, skip=1, times=_ALWAYS, instead=world.bench.refusal())
    world.script.add(refusal)
    await world.ask()
    await world.until(world.stopped, "the link stops")
    assert "Connect the account again" in (await world.link()).reason
    world.script.faults.remove(refusal)
    await world.connect_again()
    await world.looked()
    await world.agree("one", "two", "three")
    assert [change.kind for change in world.changes()] == [ChangeKind.CREATE] * 3


async def test_a_lost_cursor_doubles_nothing_and_deletes_nothing(world: World) -> None:
    """Everything is read again; what happened meanwhile is one change each, and no more."""
    able(world.bench, "forget_cursors")
    records = {text: await world.hands.make(text) for text in ("one", "two", "three")}
    await world.looked()
    await world.agree("one", "two", "three")
    world.bench.forget_cursors()
    await world.hands.edit(records["one"], "eins")
    await world.hands.remove(records["two"])
    await world.looked()
    await world.agree("eins", "three")
    kinds = sorted(change.kind for change in world.changes()[3:])
    assert kinds == [ChangeKind.DELETE, ChangeKind.UPDATE]


@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_vendor_whose_clock_is_wrong_loses_no_edit(unlinked: World, hours: int) -> None:
    """Made, changed and written while the vendor's clock is hours behind or ahead: all of it arrives."""
    world = unlinked
    able(world.bench, "set_clock")
    world.bench.set_clock(timedelta(hours=hours))
    world.script.skew = timedelta(hours=hours)
    # Webhooks that are signed by such a clock are refused: polls must find it all.
    await world.connect(told=False)
    record = await world.hands.make("one")
    await world.looked()
    await world.agree("one")
    await world.hands.edit(record, "eins")
    await world.looked()
    await world.agree("eins")
    if world.rules.create:
        await world.create("two")
        await world.agree("eins", "two")


async def test_an_empty_list_deletes_nothing(world: World) -> None:
    """A vendor that suddenly shows nothing is not believed: each record is asked for, or a person is."""
    able(world.hands, "make")
    texts = [f"number {number}" for number in range(_MANY)]
    for text in texts:
        await world.hands.make(text)
    await world.looked()
    await world.agree(*texts)
    if "forget_cursors" not in world.bench.cannot:
        world.bench.forget_cursors()
    empty = Fault(on=world.is_read, times=_ALWAYS, answer=world.bench.emptied)
    world.script.add(empty)
    await world.looked()
    await world.quiet()
    assert empty.times < _ALWAYS
    assert len(world.items()) == _MANY
    world.script.faults.remove(empty)
    await world.resume()
    await world.looked()
    await world.agree(*texts)
    assert [change.kind for change in world.changes()] == [ChangeKind.CREATE] * _MANY


async def test_a_mass_delete_is_asked_about(world: World) -> None:
    """Many records deleted at once stop the link, which asks; once a person says it is meant, they go."""
    able(world.hands, "remove")
    records = [await world.hands.make(f"number {number}") for number in range(_MANY)]
    await world.looked()
    await world.agree(*(f"number {number}" for number in range(_MANY)))
    for record in records:
        await world.hands.remove(record)
    await world.ask()
    await world.until(world.stopped, "the link stops")
    assert "suddenly gone at the vendor. Were they deleted on purpose?" in (await world.link()).reason
    assert len(world.items()) >= _MANY / 3
    await world.resume(believe_deletes=True)
    await world.looked()
    await world.agree()
    deletes = [change for change in world.changes() if change.kind is ChangeKind.DELETE]
    assert len(deletes) == _MANY
    assert world.writes() == []


def _half(_: Asked, answer: Answer) -> Answer:
    """Return an answer that ends in its middle."""
    return replace(answer, body=answer.body[: len(answer.body) // 2])
