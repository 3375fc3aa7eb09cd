"""Edits through the real service: gRPC in, a Ray actor, PostgreSQL, and the facts out again."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import aclosing

import psutil
import psycopg

from tests.integration.sync.conftest import FakeGateway, Service, actor_processes, new_wedding, soon
from tests.unit.sync.builders import create, update, vendor
from wedsync.client import SyncClient
from wedsync.errors import NotOwner, Overloaded, Unavailable
from wedsync.model.changes import Change, ChangeResult, Outcome


async def test_a_change_is_applied_and_a_repeated_one_is_not(service: Service) -> None:
    """The same change twice is logged once, and the second time its first result is repeated."""
    async with service.client() as sync:
        wedding = await new_wedding(sync)
        change = create("First dance")
        first = await sync.apply_changes(wedding.wedding_id, [change])
        again = await sync.apply_changes(wedding.wedding_id, [change])
        assert (first[0].outcome, first[0].sequence) == (Outcome.APPLIED, 1)
        assert (again[0].outcome, again[0].sequence) == (Outcome.DUPLICATE, 1)
        assert again[0].committed_at == first[0].committed_at
        log = [entry async for entry in sync.list_changes(wedding.wedding_id)]
        assert [(entry.sequence, entry.change_id) for entry in log] == [(1, change.change_id)]


async def test_more_weddings_than_actors_take_turns(service: Service) -> None:
    """With three actors eight weddings are edited by turns, twice each, and none is refused."""
    async with service.client() as sync:
        weddings = [await new_wedding(sync) for _ in range(8)]
        for title in ("One", "Two"):
            for wedding in weddings:
                (result,) = await _patiently(sync, wedding.wedding_id, create(title))
                assert result.outcome is Outcome.APPLIED
        assert len(actor_processes()) <= 3


async def test_killed_actors_lose_and_double_nothing(service: Service) -> None:
    """Actors killed in the middle of a stream of edits: every edit is in the log exactly once."""
    async with service.client() as sync:
        wedding = await new_wedding(sync)
        changes = [create(f"Event {number}") for number in range(60)]

        async def send() -> None:
            for start in range(0, len(changes), 5):
                together = [_patiently(sync, wedding.wedding_id, c) for c in changes[start : start + 5]]
                await asyncio.gather(*together)

        sending = asyncio.create_task(send())
        reached = 0
        for goal in (10, 35):
            while reached < goal:
                reached = (await sync.get_wedding(wedding.wedding_id)).sequence
            for process in actor_processes():
                process.kill()
        await sending
        log = [entry async for entry in sync.list_changes(wedding.wedding_id)]
        assert [entry.sequence for entry in log] == list(range(1, 61))
        assert {entry.change_id for entry in log} == {change.change_id for change in changes}
        items = [item async for item in sync.list_items(wedding.wedding_id)]
        assert {item.item_id for item in items} == {change.item_id for change in changes}


async def test_a_paused_actor_is_replaced(service: Service) -> None:
    """An actor that stops answering is replaced and ended, and its wedding goes on elsewhere."""
    async with service.client() as sync:
        wedding = await new_wedding(sync)
        made = create("Ceremony")
        await _patiently(sync, wedding.wedding_id, made)
        paused = actor_processes()
        for process in paused:
            process.suspend()
        await _patiently(sync, wedding.wedding_id, update(made.item_id, {"title": "Moved"}))
        for process in paused:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
        await _patiently(sync, wedding.wedding_id, update(made.item_id, {"location": "Garden"}))
        log = [entry.sequence async for entry in sync.list_changes(wedding.wedding_id)]
        assert log == [1, 2, 3]


async def test_watch_resumes_without_gap_or_repeat(service: Service) -> None:
    """A watch tells where it starts, follows live, and goes on after a sequence as if nothing had been."""
    async with service.client() as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        await _patiently(sync, wedding_id, create("One"))
        async with aclosing(sync.watch_wedding(wedding_id)) as live:
            first = await anext(live)
            assert (first.sequence, first.HasField("change")) == (1, False)
            await _patiently(sync, wedding_id, create("Two"))
            async with asyncio.timeout(5):
                assert (await anext(live)).change.sequence == 2
        await _patiently(sync, wedding_id, create("Three"))
        async with aclosing(sync.watch_wedding(wedding_id, after_sequence=1)) as resumed:
            async with asyncio.timeout(5):
                seen = [(await anext(resumed)).sequence for _ in range(3)]
        assert seen == [1, 2, 3]


async def test_facts_wait_for_a_gateway_that_is_away(service: Service, gateway: FakeGateway) -> None:
    """Commits made while the gateway is down reach it once it is up, and then leave the outbox."""
    async with service.client(service.keys.gateway) as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        made = create("One", source=vendor())
        await _patiently(sync, wedding_id, made)
        assert _waiting(service, wedding_id) == 1
        await gateway.start()
        await soon(lambda: gateway.told(wedding_id) == [1], 20, "the gateway was told")
        await soon(lambda: not _waiting(service, wedding_id), 10, "the outbox is empty")
        told = next(commit for commit in gateway.commits if commit.wedding_id == wedding_id)
        assert told.item.content.timeline_event.title == "One"
        assert (told.change_id, told.source.actor) == (made.change_id, "sync")


async def _patiently(sync: SyncClient, wedding_id: str, change: Change) -> list[ChangeResult]:
    """Apply one change the way services do: repeat it by its id while that can help."""
    async with asyncio.timeout(30):
        while True:
            try:
                return list(await sync.apply_changes(wedding_id, [change], timeout=15))
            except (Unavailable, NotOwner, Overloaded) as error:
                await asyncio.sleep(error.retry_after or 0.05)


def _waiting(service: Service, wedding_id: str) -> int:
    query = "SELECT count(*) FROM sync.outbox WHERE wedding_id = %s AND destination = 'gateway'"
    with psycopg.connect(service.database.admin_url) as connection:
        row = connection.execute(query, [wedding_id]).fetchone()
    return int(row[0]) if row else 0
