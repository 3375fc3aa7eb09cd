"""Watching over real gRPC: many at once, slow ones, ones who may not any more, and a server that restarts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest

from tests.integration.sync.conftest import InProcess, Keys, new_wedding, running_in_process, soon
from tests.support.database import MigratedDatabase
from tests.unit.sync.builders import create, update
from wedsync.api.sync.v1 import service_pb2, service_pb2_grpc, wedding_pb2
from wedsync.client import SyncClient, open_channel
from wedsync.convert import error_from_rpc
from wedsync.errors import Overloaded, UnknownWedding
from wedsync.model.ids import new_id
from wedsync.runtime.embedded.local import free_port
from wedsync.runtime.metrics import rpc_in_flight, rpc_total

_WATCHERS, _WEDDINGS, _CHANNELS, _CHANGES = 2000, 40, 20, 3


@pytest.fixture
def service(in_process: InProcess) -> InProcess:
    """The service of these tests."""
    return in_process


async def _read(sync: SyncClient, wedding_id: str, after: int | None, seen: list[int]) -> None:
    async with contextlib.aclosing(sync.watch_wedding(wedding_id, after)) as messages:
        async for message in messages:
            seen.append(message.sequence)  # noqa: PERF401  # one by one: others look at it meanwhile


async def _leave(watching: Sequence[asyncio.Task[None]]) -> None:
    """Stop watching; return when the server knows."""
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    streams = rpc_in_flight.labels("sync", "stream")
    await soon(lambda: streams._value.get() == 0, 10, "every stream has ended")


async def test_two_thousand_watchers_each_see_every_change_once(service: InProcess) -> None:
    """On streams of a few connections, each watcher gets each change of its wedding once and in order."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(service.client()) for _ in range(_CHANNELS)]
        weddings = [(await new_wedding(clients[0])).wedding_id for _ in range(_WEDDINGS)]
        seen: list[list[int]] = [[] for _ in range(_WATCHERS)]
        watching = [
            asyncio.create_task(_read(clients[n % _CHANNELS], weddings[n % _WEDDINGS], None, seen[n]))
            for n in range(_WATCHERS)
        ]
        await soon(lambda: all(seen), 60, "every watch is open")
        for wedding_id in weddings:
            for _ in range(_CHANGES):
                await clients[0].apply_changes(wedding_id, [create()])
        await soon(lambda: all(len(one) > _CHANGES for one in seen), 90, "everybody has seen everything")
        assert seen == [list(range(_CHANGES + 1))] * _WATCHERS
        await _leave(watching)


async def test_a_reader_that_stops_reading_is_dropped(service: InProcess) -> None:
    """A watcher that takes no messages is told where to go on, goes on there, and holds up nobody else."""
    async with service.client() as sync, open_channel(service.target, api_key=service.keys.studio) as channel:
        wedding_id = (await new_wedding(sync)).wedding_id
        dropped = rpc_total.labels("sync", "SyncService/WatchWedding", "OVERLOADED")
        before, made, seen = dropped._value.get(), create("x" * 1900), list[int]()
        quick = asyncio.create_task(_read(sync, wedding_id, 0, seen))
        call = service_pb2_grpc.SyncServiceStub(channel).WatchWedding(
            service_pb2.WatchWeddingRequest(wedding_id=wedding_id, after_sequence=0)
        )
        await call.read()
        await sync.apply_changes(wedding_id, [made])
        for _ in range(8):
            edits = [update(made.item_id, {"notes": f"{n} {new_id()} " + "n" * 19_000}) for n in range(40)]
            await sync.apply_changes(wedding_id, edits)
        await soon(lambda: len(seen) == 322, 20, "the quick reader has everything")
        await soon(lambda: dropped._value.get() > before, 20, "the server gave up on the slow reader")
        taken, error = await asyncio.wait_for(_read_to_the_end(call), 20)
        assert isinstance(error, Overloaded)
        place = int(error.metadata["after_sequence"])
        # The message it was given up with may have arrived all the same.
        assert taken in (list(range(1, place + 1)), list(range(1, place + 2)))
        assert place < 321
        rest: list[int] = []
        slow = asyncio.create_task(_read(sync, wedding_id, place, rest))
        await soon(lambda: len(rest) == 322 - place, 20, "the slow reader has caught up")
        assert rest == list(range(place, 322))
        await _leave([quick, slow])


async def test_who_is_no_member_any_more_sees_no_more(
    service: InProcess, migrated_database: MigratedDatabase
) -> None:
    """A running watch ends once its organization has left the wedding."""
    async with service.client() as studio, service.client(service.keys.florist) as florist:
        member = wedding_pb2.Member(organization_id="florist", role="florist")
        wedding_id = (await new_wedding(studio, members=[member])).wedding_id
        messages = florist.watch_wedding(wedding_id)
        async with asyncio.timeout(10), contextlib.aclosing(messages):
            await anext(messages)
            with psycopg.connect(migrated_database.admin_url) as admin:
                admin.execute("DELETE FROM sync.wedding_members WHERE organization_id = 'florist'")
            with pytest.raises(UnknownWedding):
                await anext(messages)


async def test_a_watch_outlasts_a_restart(
    migrated_database: MigratedDatabase, keys: Keys, tmp_path: Path
) -> None:
    """A watch that resumes sees every change once, although the server went away and came back."""
    port, seen = free_port(), list[int]()
    async with open_channel(f"127.0.0.1:{port}", api_key=keys.studio) as channel:
        sync = SyncClient(channel)
        async with running_in_process(migrated_database, keys, tmp_path, grpc_port=port):
            wedding_id = (await new_wedding(sync)).wedding_id
            watch = asyncio.create_task(_read(sync, wedding_id, None, seen))
            await soon(lambda: seen, 10, "the watch is open")
            await sync.apply_changes(wedding_id, [create()])
            await soon(lambda: len(seen) == 2, 10, "the change is seen")
        async with running_in_process(migrated_database, keys, tmp_path, grpc_port=port):
            await sync.apply_changes(wedding_id, [create(), create()])
            await soon(lambda: len(seen) == 4, 20, "what came after the restart is seen")
            await _leave([watch])
    assert seen == [0, 1, 2, 3]


async def _read_to_the_end(call: Any) -> tuple[list[int], Exception]:
    """Read what is left of a stream; return the sequences and why it ended."""
    taken: list[int] = []
    try:
        while (message := await call.read()) is not grpc.aio.EOF:
            taken.append(message.sequence)
    except grpc.aio.AioRpcError as error:
        return taken, error_from_rpc(error)
    raise AssertionError("the stream ended without an error")
