"""kill -9 in the middle: nothing accepted is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
import os
import signal

import psutil
import pytest

from tests.e2e.conftest import Wedding, until
from tests.support.stack import Stack
from wedsync.client.sync import CALLER
from wedsync.errors import Overloaded, Unavailable
from wedsync.model.changes import Change, ChangeKind, Outcome
from wedsync.model.ids import new_id
from wedsync.model.items import ItemKind

_EVENTS = 8


@pytest.mark.timeout(180)
@pytest.mark.parametrize("victim", ["gateway", "sync", "actor"])
async def test_a_crash_in_the_middle_loses_and_doubles_nothing(
    stack: Stack, wedding: Wedding, victim: str
) -> None:
    """Edits made while a process dies arrive exactly once, in both directions."""
    names = [f"Part {number}" for number in range(_EVENTS)]
    for number, name in enumerate(names):
        await wedding.photographer.plan(name, f"{10 + number}:00", f"{10 + number}:30")
        if number == _EVENTS // 2:
            await asyncio.to_thread(_kill, stack, victim)

    async def all_there() -> bool:
        return set(await wedding.couple.events()) == set(names)

    await until(all_there, "every event is in the calendar", 90)
    await wedding.quiet()
    assert set(await wedding.photographer.events()) == set(names)
    log = await wedding.log()
    assert [change.sequence for change in log] == list(range(1, len(log) + 1))
    assert len({change.change_id for change in log}) == len(log)
    created = [c.item_id for c in log if c.kind == 1 and c.item_kind == 1]
    assert len(created) == len(set(created)) == _EVENTS
    assert len(await asyncio.to_thread(lambda: _resources(wedding))) == _EVENTS


@pytest.mark.timeout(180)
async def test_calls_repeated_over_a_crash_apply_each_change_once(stack: Stack, wedding: Wedding) -> None:
    """A caller who repeats its change ids until it gets an answer finds each change applied once."""
    changes = [
        Change(
            change_id=new_id(),
            item_id=new_id(),
            item_kind=ItemKind.TASK,
            kind=ChangeKind.CREATE,
            source=CALLER,
            values={"title": f"Task {number}"},
        )
        for number in range(20)
    ]
    crash = asyncio.create_task(asyncio.to_thread(_kill, stack, "sync"))
    for change in changes:

        async def applied(change: Change = change) -> bool:
            try:
                [result] = await wedding.clients.sync.apply_changes(wedding.wedding_id, [change])
            except (Overloaded, Unavailable):
                return False
            return result.outcome in {Outcome.APPLIED, Outcome.DUPLICATE}

        await until(applied, "the change is applied", 60)
    await crash
    logged = [change.change_id for change in await wedding.log()]
    assert [logged.count(change.change_id) for change in changes] == [1] * len(changes)


def _kill(stack: Stack, victim: str) -> None:
    if victim != "actor":
        stack.kill(victim)
        return
    owners = [
        process
        for process in psutil.process_iter()
        if "WeddingActor" in process.name() + " ".join(_command(process)) and _belongs(process, stack)
    ]
    assert owners, "no actor process was found"
    for process in owners:
        os.kill(process.pid, signal.SIGKILL)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _belongs(process: psutil.Process, stack: Stack) -> bool:
    try:
        return process.environ().get("WEDSYNC_STACK") == str(stack.home)
    except psutil.Error:
        return False


def _resources(wedding: Wedding) -> list[object]:
    with wedding.couple.client() as client:
        return list(client.calendar(url=wedding.couple.calendar_url).events())
