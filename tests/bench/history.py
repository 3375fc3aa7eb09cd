"""What looking back costs, by the length of the log and the number of items.

A wedding is filled with changes, each with its item as it left it; then it is asked for through gRPC, one
call after the other.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

import orjson
import psycopg

from tests.bench import processes
from tests.bench.figures import Row, milliseconds
from tests.bench.site import Site
from wedsync.api.sync.v1 import service_pb2
from wedsync.client import SyncClient, wedding_message
from wedsync.model.changes import (
    Change,
    ChangeKind,
    ChangeResult,
    FieldResult,
    FieldState,
    ItemState,
    Outcome,
    Source,
)
from wedsync.model.codec import dump_change, dump_item, dump_result
from wedsync.model.ids import new_id
from wedsync.model.items import ItemKind
from wedsync.runtime.envelope import seal

CALLS = 200
SIZES = ((1_000, 200), (1_000_000, 200), (1_000_000, 1_000))
"""Changes and items."""
START = 1_767_225_600
"""When the wedding was made; a change follows each second."""
NUMBER = 987654321
"""Stands for the sequence in what is copied."""

TAVE = Source(
    organization_id="studio", actor="integration:1", link_id=new_id(), vendor="tave", record_id="event/1"
)
VALUES = {
    "title": f"Edit {NUMBER}",
    "starts_at": "2027-06-12T15:00:00[Europe/Paris]",
    "ends_at": "2027-06-12T16:00:00[Europe/Paris]",
    "location": "Orangery, ground floor",
    "notes": "Bring the rings.\nThe quartet plays from half past two.",
    "status": "confirmed",
}

_FILL = """
WITH template AS (
  SELECT item, number, %(header)s::bytea AS header,
         replace(%(body)s::text, %(item)s, item::text) AS body,
         replace(%(state)s::text, %(item)s, item::text) AS state
  FROM unnest(%(items)s::uuid[]) WITH ORDINALITY AS i (item, number))
INSERT INTO sync.changes (wedding_id, sequence, change_id, item_id, committed_at, trace_parent, body, state)
SELECT %(wedding)s, s, gen_random_uuid(), t.item, to_timestamp(%(start)s) + s * interval '1 second', '',
       t.header || convert_to(replace(t.body, %(number)s, s::text), 'UTF8'),
       t.header || convert_to(replace(t.state, %(number)s, s::text), 'UTF8')
FROM generate_series(1, %(changes)s) s JOIN template t ON t.number = 1 + s %% %(count)s
"""
_ITEMS = """
INSERT INTO sync.items (wedding_id, item_id, kind, deleted, revision, state)
SELECT DISTINCT ON (item_id) wedding_id, item_id, 'timeline_event', false, sequence, state
FROM sync.changes WHERE wedding_id = %(wedding)s ORDER BY item_id, sequence DESC
"""
_WEDDING = """
UPDATE sync.weddings SET sequence = %(changes)s,
  committed_at = to_timestamp(%(start)s) + %(changes)s * interval '1 second' WHERE wedding_id = %(wedding)s
"""


def fill(admin_url: str, wedding_id: str, changes: int, items: int) -> None:
    """Give the wedding a log; change number n was about item n modulo the number of items."""
    item_id = new_id()
    state = ItemState(
        item_id=item_id,
        kind=ItemKind.TIMELINE_EVENT,
        life=FieldState(value=None, revision=1, source=TAVE),
        fields={
            path: FieldState(value=value, revision=NUMBER, source=TAVE) for path, value in VALUES.items()
        },
    )
    change = Change(
        change_id=new_id(),
        item_id=item_id,
        item_kind=ItemKind.TIMELINE_EVENT,
        kind=ChangeKind.UPDATE,
        source=TAVE,
        values={"title": VALUES["title"]},
    )
    field = FieldResult(path="title", outcome=Outcome.APPLIED, revision=NUMBER, proposed=VALUES["title"])
    result = ChangeResult(
        change_id=change.change_id, outcome=Outcome.APPLIED, sequence=NUMBER, fields=(field,)
    )
    body = {"change": dump_change(change), "result": dump_result(result), "lane": "normal"}
    names = {
        "wedding": wedding_id,
        "changes": changes,
        "items": [new_id() for _ in range(items)],
        "count": items,
        "start": START,
        "header": seal(b""),
        "body": orjson.dumps(body).decode(),
        "state": orjson.dumps(dump_item(state)).decode(),
        "number": str(NUMBER),
        "item": item_id,
    }
    with psycopg.connect(admin_url, autocommit=True) as admin:
        for statement in (_FILL, _ITEMS, _WEDDING, "ANALYZE sync.changes, sync.items"):
            admin.execute(statement, names if "%" in statement else None)


class Calls:
    """What is asked for, at any moment of the wedding's past."""

    def __init__(self, sync: SyncClient, wedding_id: str, changes: int, items: int) -> None:
        self._sync, self._wedding_id, self._changes, self._count = sync, wedding_id, changes, items
        self._dice = random.Random(1)  # noqa: S311  # the same moments each time
        self._items: list[str] = []

    async def wedding_at_a_sequence(self) -> None:
        """Get the wedding without its items."""
        at = self._sequence()
        wedding = await self._sync.get_wedding(self._wedding_id, as_of=at)
        assert wedding.sequence == at.sequence

    async def wedding_at_a_time(self) -> None:
        """Get it by a time."""
        sequence = self._sequence().sequence
        wedding = await self._sync.get_wedding(self._wedding_id, as_of=self._time(sequence))
        assert wedding.sequence == sequence

    async def all_items_at_a_sequence(self) -> None:
        """Get it with its items."""
        at = self._sequence()
        wedding = await self._sync.get_wedding(self._wedding_id, as_of=at, full=True)
        edits = {int(item.content.timeline_event.title.removeprefix("Edit ")) for item in wedding.items}
        assert edits == set(range(max(1, at.sequence - self._count + 1), at.sequence + 1))

    async def all_items_now(self) -> None:
        """Get it as it is, with its items."""
        wedding = await self._sync.get_wedding(self._wedding_id, full=True)
        assert (wedding.sequence, len(wedding.items)) == (self._changes, self._count)
        self._items = [item.item_id for item in wedding.items]

    async def one_item_at_a_time(self) -> None:
        """Get one item by a time."""
        at = self._time(self._dice.randint(self._count, self._changes))
        await self._sync.get_item(self._wedding_id, self._dice.choice(self._items), as_of=at)

    async def a_page_of_items_at_a_sequence(self) -> None:
        """List 100 items."""
        found = self._sync.list_items(self._wedding_id, as_of=self._sequence(), page_size=100)
        await anext(found)

    async def a_page_of_the_log(self) -> None:
        """List 100 entries."""
        found = self._sync.list_changes(self._wedding_id, after_sequence=self._sequence().sequence - 1)
        await anext(found)

    async def the_log_of_an_hour(self) -> None:
        """List 100 entries of some time, by one vendor."""
        end = self._dice.randint(self._count, self._changes)
        only = service_pb2.ChangeFilter(
            vendor="tave", start_time=self._time(end - self._count // 2).time, end_time=self._time(end).time
        )
        await anext(self._sync.list_changes(self._wedding_id, only=only))

    def _sequence(self) -> service_pb2.AsOf:
        return service_pb2.AsOf(sequence=self._dice.randint(1, self._changes))

    def _time(self, sequence: int) -> service_pb2.AsOf:
        moment = service_pb2.AsOf()
        moment.time.FromSeconds(START + sequence)
        return moment


async def run(site: Site) -> AsyncGenerator[Row, None]:
    """Ask a short log and a long one the same."""
    service = await site.sync("shared", actors=4)
    async with service.client() as sync:
        for changes, items in SIZES:
            wedding = await sync.create_wedding(wedding_message("Ada", "2027-06-12", "Europe/Paris"))
            await asyncio.to_thread(fill, site.database.admin_url, wedding.wedding_id, changes, items)
            calls = Calls(sync, wedding.wedding_id, changes, items)
            for call in (
                calls.all_items_now,
                calls.all_items_at_a_sequence,
                calls.wedding_at_a_sequence,
                calls.wedding_at_a_time,
                calls.one_item_at_a_time,
                calls.a_page_of_items_at_a_sequence,
                calls.a_page_of_the_log,
                calls.the_log_of_an_hour,
            ):
                yield {
                    "changes": changes,
                    "items": items,
                    "asked for": call.__name__.replace("_", " "),
                    **await _figures(call),
                }


async def _figures(call: Callable[[], Awaitable[None]]) -> Row:
    await call()
    used, taken = processes.Usage.now(), [await _seconds(call) for _ in range(CALLS)]
    cost = processes.Usage.now().since(used)
    return {**milliseconds(taken), **processes.microseconds_each(cost, CALLS)}


async def _seconds(call: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await call()
    return time.perf_counter() - began
