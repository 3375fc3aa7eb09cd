"""Weddings with items, made through the service itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.site import Service
from wedsync.client import SyncClient, new_item, wedding_message
from wedsync.errors import WedSyncError
from wedsync.model.items import ItemKind

_AT_ONCE = 8
_TRIES = 20


@dataclass(frozen=True)
class Stored:
    """A wedding and the items in it."""

    wedding_id: str
    item_ids: tuple[str, ...]


async def made(service: Service, count: int, *, items: int) -> list[Stored]:
    """Make weddings with as many items each."""
    free = asyncio.Semaphore(_AT_ONCE)

    async def one(sync: SyncClient, number: int) -> Stored:
        async with free:
            return await _make(sync, f"Wedding {number}", items)

    async with service.client() as sync:
        return list(await asyncio.gather(*(one(sync, number) for number in range(count))))


async def _make(sync: SyncClient, title: str, items: int) -> Stored:
    wedding = await sync.create_wedding(wedding_message(title, "2027-06-12", "Europe/Paris"))
    changes = [
        new_item(
            ItemKind.TIMELINE_EVENT,
            title=f"Event {number}",
            starts_at="2027-06-12T15:00:00[Europe/Paris]",
            location="Old Barn",
            notes="Bring flowers",
        )
        for number in range(items)
    ]
    for _ in range(_TRIES):
        try:
            await sync.apply_changes(wedding.wedding_id, changes)
        except WedSyncError as error:
            if not error.retryable:
                raise
            await asyncio.sleep(error.retry_after or 0.1)
        else:
            break
    return Stored(wedding.wedding_id, tuple(change.item_id for change in changes))


def zipf(count: int) -> Sequence[float]:
    """Return weights of which the n-th is 1/n: a few weddings are edited all day, most now and then."""
    return [1 / rank for rank in range(1, count + 1)]
