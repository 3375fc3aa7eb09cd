"""Certification: however a write fails, it is carried out in the end, and once."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, timedelta
from typing import Any

import pytest

from tests.certification.bench import able
from tests.certification.world import World
from wedsync.clock import SystemClock
from wedsync.testing.faults import Answer, Asked, Fault, http_date

_LONG = 30.0
_SLACK = 5.0
_HOUR = timedelta(hours=1)
_GARBAGE = Answer(status=200, headers={"content-type": "text/html"}, body=b"<html>We will be back</html>")
_ALWAYS = 1_000

_DUE_IN = """
    SELECT extract(epoch FROM not_before - clock_timestamp()) AS seconds
    FROM gateway.vendor_deliveries WHERE link_id = %(link)s AND state = 'due' AND attempts > 0
"""


async def test_writes_that_fail_are_made_later_and_once(world: World) -> None:
    """Broken, down, and cut off before anything was carried out: each write arrives, in one piece."""
    items = await world.shared("one", "two", "three")
    fail(world, instead=Answer(status=500))
    fail(world, instead=Answer(status=503))
    fail(world, cut=True)
    for item, text in zip(items, ("eins", "zwei", "drei"), strict=True):
        await world.edit(item, text)
    await world.agree("eins", "zwei", "drei")
    assert len(world.writes()) == 3


async def test_a_write_that_its_version_guards_is_one_request(world: World) -> None:
    """What was seen is not read again before it is written; what we make is not looked up before."""
    if not world.manifest.versions.guard_writes:
        pytest.skip("the manifest does not say that versions guard writes: a record is read before")
    # A webhook that comes before the answer to its write, or after the record is gone, has to ask.
    world.relay.script.add(Fault(kept_back=True, times=_ALWAYS))
    item = await world.create("one")
    await world.quiet()
    await world.edit(item, "eins")
    await world.quiet()
    await world.delete(item)
    await world.quiet()
    asked = [each for each in world.script.asked if world.bench.is_write(each) or item in each.path]
    assert [each.method for each in asked] == ["PUT", "PUT", "DELETE"]
    await world.agree()


async def test_creates_whose_answer_is_lost_are_looked_up_and_not_repeated(world: World) -> None:
    """Timed out, cut off, garbled and broken after they were carried out: nothing is there twice."""
    needs_create(world)
    for fault in (
        {"silent": True},
        {"cut": True},
        {"instead": _GARBAGE},
        {"instead": Answer(status=502)},
    ):
        fail(world, carried_out=True, **fault)
    texts = ("one", "two", "three", "four")
    for text in texts:
        await world.create(text)
    await world.agree(*texts)
    assert len(world.writes()) == 4
    assert world.changes() == []


async def test_edits_whose_answer_is_lost_are_no_edits_of_the_vendors(world: World) -> None:
    """The same for changes: what we find there afterwards is known as ours."""
    items = await world.shared("one", "two", "three")
    changes = len(world.changes())
    for fault in ({"silent": True}, {"cut": True}, {"instead": _GARBAGE}):
        fail(world, carried_out=True, **fault)
    for item, text in zip(items, ("eins", "zwei", "drei"), strict=True):
        await world.edit(item, text)
    await world.agree("eins", "zwei", "drei")
    assert len(world.writes()) <= 2 * 3
    assert len(world.changes()) == changes


async def test_a_write_that_is_too_much_now_is_made_when_the_vendor_said(world: World) -> None:
    """After 429 nothing is written for the seconds asked for, and then all of it, once."""
    items = await world.shared("one", "two")
    fail(world, instead=Answer(status=429, headers={"retry-after": "1"}))
    await world.edit(items[0], "eins")
    refused = await first_write(world)
    await world.edit(items[1], "zwei")
    await world.agree("eins", "zwei")
    assert min(write.at for write in world.writes()) >= refused + 1.0
    assert len(world.writes()) == 2


@pytest.mark.parametrize("says", ["seconds", "date", "disguise"])
async def test_the_vendor_says_when_in_its_own_way(world: World, says: str) -> None:
    """Seconds, a date by a clock that is wrong, or a refusal that only its body tells from others."""
    [item] = await world.shared("one")
    fail(world, times=_ALWAYS, instead=_SAYS[says](world))
    await world.edit(item, "eins")
    await world.until(lambda: put_off(world), f"the write is put off by about {_LONG} s")


async def test_while_writes_fail_reads_go_on(world: World) -> None:
    """What people do there comes in, although nothing goes out; ours follows when the vendor is well."""
    [item, *_] = await world.shared("one", "two")
    outage = fail(world, times=_ALWAYS, instead=Answer(status=503))
    await world.edit(item, "eins")
    await first_write(world)
    able(world.hands, "make")
    await world.hands.make("three")
    await world.looked()
    await world.until(lambda: len(world.items()) == 3, "the vendor's new record comes in")
    world.script.faults.remove(outage)
    await world.agree("eins", "two", "three")
    assert len(world.writes()) == 1


async def test_credentials_refused_in_the_midst_of_a_batch_stop_it(world: World) -> None:
    """What was written stays; the rest waits for the account to be connected again, and is written once."""
    items = await world.shared("one", "two", "three")
    refusal = Fault(on=after_first_write(world), times=_ALWAYS, instead=world.bench.refusal())
    world.script.add(refusal)
    for item, text in zip(items, ("eins", "zwei", "drei"), strict=True):
        await world.edit(item, text)
    await world.until(world.stopped, "the link stops")
    assert "Connect the account again" in (await world.link()).reason
    world.script.faults.remove(refusal)
    await world.connect_again()
    await world.agree("eins", "zwei", "drei")
    assert len(world.writes()) == 3


def fail(world: World, **fault: Any) -> Fault:
    """Let the next write meet a fault; return it, so that it can be ended."""
    made = Fault(on=world.bench.is_write, **fault)
    world.script.add(made)
    return made


def needs_create(world: World) -> None:
    """Skip what is about creating, where that is not for us to do."""
    if not world.rules.create:
        pytest.skip(f"the manifest says that no {world.kind} is created from outside")


def after_first_write(world: World) -> Callable[[Asked], bool]:
    """Match what is asked from the second write on, be the first answered or not: they go side by side."""
    written: list[Asked] = []

    def match(asked: Asked) -> bool:
        if not written and world.bench.is_write(asked):
            written.append(asked)
            return False
        return bool(written)

    return match


async def first_write(world: World) -> float:
    """Wait until a write of ours was answered; return when it came."""

    def found() -> bool:
        return any(world.bench.is_write(asked) and asked.status for asked in world.script.asked)

    await world.until(found, "a write is answered")
    return next(asked.at for asked in world.script.asked if world.bench.is_write(asked))


async def put_off(world: World) -> bool:
    """Say whether the write waits for as long as it was asked to, and not much longer."""
    rows = await world.sql(_DUE_IN)
    return any(_LONG - _SLACK < row["seconds"] < _LONG + _SLACK for row in rows)


def _seconds(_: World) -> Answer:
    return Answer(status=429, headers={"retry-after": str(int(_LONG))})


def _date(world: World) -> Answer:
    world.script.skew = _HOUR
    until = SystemClock().now().astimezone(UTC) + _HOUR + timedelta(seconds=_LONG)
    return Answer(status=429, headers={"retry-after": http_date(until)})


def _disguise(world: World) -> Answer:
    """Return a refusal that means to slow down, as the manifest describes it."""
    if not world.manifest.rate_limit.disguises:
        pytest.skip("the manifest names no other status than 429 that means to slow down")
    disguise = world.manifest.rate_limit.disguises[0]
    told: Any = min(disguise.values)
    for step in reversed(disguise.pointer.strip("/").split("/")):
        told = [told] if step.isdecimal() else {step: told}
    headers = {"retry-after": str(int(_LONG)), "content-type": "application/json"}
    return Answer(status=disguise.status, headers=headers, body=json.dumps(told).encode())


_SAYS: dict[str, Callable[[World], Answer]] = {"seconds": _seconds, "date": _date, "disguise": _disguise}
