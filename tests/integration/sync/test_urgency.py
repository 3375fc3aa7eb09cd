"""Lanes, through the running service and a real actor."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator

import pytest

from tests.integration.sync.conftest import Service, actor_processes, new_wedding
from tests.unit.sync.builders import create
from wedsync.client import SyncClient, wedding_message
from wedsync.client.sync import CALLER
from wedsync.clock import SystemClock
from wedsync.errors import PermissionDenied
from wedsync.model.changes import Change
from wedsync.model.items import ItemKind

_CALLS, _CHANGES = 18, 100


def edit() -> Change:
    """Return an everyday edit."""
    return create(source=CALLER)


def alarm() -> Change:
    """Return what must overtake everything."""
    values = {"text": "The marquee is on fire", "urgency": "emergency"}
    return create(item_kind=ItemKind.MESSAGE, values=values, source=CALLER)


@contextlib.contextmanager
def stopped_actors() -> Iterator[None]:
    """Let no actor do anything meanwhile."""
    actors = actor_processes()
    for actor in actors:
        actor.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for actor in actors:
            actor.send_signal(signal.SIGCONT)


async def live_wedding(sync: SyncClient) -> str:
    """Create a wedding that is under way now, and have it loaded."""
    today = SystemClock().now().date().isoformat()
    wedding = await sync.create_wedding(wedding_message("Ada & Grace", today, "UTC"))
    await sync.apply_changes(wedding.wedding_id, [edit()])
    return wedding.wedding_id


async def test_an_emergency_passes_a_flood_of_critical_edits(service: Service) -> None:
    """With thousands of critical edits before it, an emergency is in the call after the present one."""
    async with service.client() as sync, service.client(service.keys.alarm) as shouting:
        wedding_id = await live_wedding(sync)
        with stopped_actors():
            flood = [
                asyncio.create_task(sync.apply_changes(wedding_id, [edit() for _ in range(_CHANGES)]))
                for _ in range(_CALLS)
            ]
            await sync.get_wedding(wedding_id)
            urgent = asyncio.create_task(shouting.apply_changes(wedding_id, [alarm()]))
            await shouting.get_wedding(wedding_id)
        (result,) = await urgent
        await asyncio.gather(*flood)
        log = [entry async for entry in sync.list_changes(wedding_id, page_size=500)]
    assert len(log) == 2 + _CALLS * _CHANGES
    assert result.sequence < len(log) / 2
    lanes = {entry.sequence: entry.priority for entry in log}
    assert (lanes[1], lanes[result.sequence]) == (2, 1)


async def test_backfill_goes_behind_what_people_do(service: Service) -> None:
    """Changes that bring history over are applied after everyday edits that came later."""
    async with service.client() as sync:
        wedding = await new_wedding(sync)
        await sync.apply_changes(wedding.wedding_id, [edit()])
        answers = []
        with stopped_actors():
            for backfill in (False, True, False):
                call = sync.apply_changes(wedding.wedding_id, [edit()], backfill=backfill)
                answers.append(asyncio.create_task(call))
                await sync.get_wedding(wedding.wedding_id)
        (held,), (history,), (later,) = await asyncio.gather(*answers)
    assert held.sequence < later.sequence < history.sequence


async def test_an_emergency_needs_a_key_that_may_say_so(service: Service) -> None:
    """Anybody else is refused, and nothing is applied."""
    async with service.client() as sync:
        wedding = await new_wedding(sync)
        with pytest.raises(PermissionDenied):
            await sync.apply_changes(wedding.wedding_id, [alarm()])
        assert (await sync.get_wedding(wedding.wedding_id)).sequence == 0
