"""Edits at a given rate, whether or not the answers keep up; and as fast as they are answered."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import grpc
from google.protobuf import field_mask_pb2

from tests.bench.site import Service
from tests.bench.weddings import Stored
from wedsync.api.common.v1 import item_pb2
from wedsync.api.sync.v1 import change_pb2, service_pb2, service_pb2_grpc
from wedsync.client.channel import AUTHORIZATION, bearer
from wedsync.model.ids import new_id

_CONNECTIONS = 4
_PATIENCE_SECONDS = 20.0
_TITLE = field_mask_pb2.FieldMask(paths=["title"])


@dataclass
class Tally:
    """What became of the edits that were sent."""

    sent: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)
    """Of each answered edit, since it should have been sent."""
    refused: int = 0
    """Turned away: nothing of it happened."""
    failed: int = 0
    """No answer in time, or another error."""


class Editor:
    """Sends edits, with as little work of its own as possible."""

    def __init__(self, channels: Sequence[grpc.aio.Channel], api_key: str, tally: Tally) -> None:
        self._stubs = [service_pb2_grpc.SyncServiceStub(channel) for channel in channels]
        self._metadata = ((AUTHORIZATION, bearer(api_key)),)
        self._turn, self.tally = 0, tally

    async def edit(self, wedding: Stored, count: int = 1, *, since: float | None = None) -> None:
        """Set titles of some of its items; latency counts from `since`, or from now."""
        began = time.perf_counter() if since is None else since
        changes = [_retitled(wedding) for _ in range(count)]
        ids = [change.change_id for change in changes]
        self.tally.sent.update(ids)
        self._turn = (self._turn + 1) % len(self._stubs)
        request = service_pb2.ApplyChangesRequest(wedding_id=wedding.wedding_id, changes=changes)
        try:
            await self._stubs[self._turn].ApplyChanges(
                request, metadata=self._metadata, timeout=_PATIENCE_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            self._count(error)
        else:
            self.tally.acknowledged.update(ids)
            self.tally.seconds.append(time.perf_counter() - began)

    def _count(self, error: grpc.aio.AioRpcError) -> None:
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            self.tally.refused += 1
        else:
            self.tally.failed += 1


@contextlib.asynccontextmanager
async def an_editor(service: Service) -> AsyncIterator[Editor]:
    """Open connections."""
    channels = [grpc.aio.insecure_channel(service.target) for _ in range(_CONNECTIONS)]
    try:
        yield Editor(channels, service.api_key, Tally())
    finally:
        for channel in channels:
            await channel.close()


async def open_loop(
    editor: Editor,
    weddings: Sequence[Stored],
    *,
    rate: float,
    seconds: float,
    weights: Sequence[float] | None,
) -> None:
    """Send edits at random moments of this rate, to weddings chosen by weight, until all are answered."""
    dice = random.Random(1)  # noqa: S311  # the same load every time
    running: set[asyncio.Task[None]] = set()
    start = time.perf_counter()
    due = start
    while (due := due + dice.expovariate(rate)) < start + seconds:
        if (pause := due - time.perf_counter()) > 0:
            await asyncio.sleep(pause)
        (wedding,) = dice.choices(weddings, weights)
        task = asyncio.create_task(editor.edit(wedding, since=due))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)


async def closed_loop(
    editor: Editor, weddings: Sequence[Stored], *, callers: int, changes: int, seconds: float
) -> None:
    """Have callers send one call after the other, each to the next wedding in turn."""
    until = time.perf_counter() + seconds
    turns = iter(range(1_000_000_000))

    async def call() -> None:
        while time.perf_counter() < until:
            await editor.edit(weddings[next(turns) % len(weddings)], changes)

    await asyncio.gather(*(call() for _ in range(callers)))


def _retitled(wedding: Stored) -> change_pb2.Change:
    change_id = new_id()
    return change_pb2.Change(
        change_id=change_id,
        item_id=random.choice(wedding.item_ids),  # noqa: S311  # no secret
        kind=change_pb2.CHANGE_KIND_UPDATE,
        content=item_pb2.ItemContent(timeline_event=item_pb2.TimelineEvent(title=f"Event {change_id}")),
        update_mask=_TITLE,
    )
