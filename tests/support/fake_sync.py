"""A sync service that does as it is told: a real gRPC server whose answers the test scripts.

Left alone it applies every change as it comes, last writer wins, and knows a change id it has seen.
What it commits it hands over to nobody: the test does that with `commits`, when and as often as it likes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support.gateway_store import TRACE
from wedsync.api.common.v1 import source_pb2
from wedsync.api.gateway.v1 import commit_pb2
from wedsync.api.sync.v1 import change_pb2, service_pb2, service_pb2_grpc, wedding_pb2
from wedsync.clock import SystemClock
from wedsync.convert import change_from_message, item_to_message, result_to_message, source_from_message
from wedsync.convert.changes import priority_to_message, timestamp
from wedsync.errors import FieldViolation, UnknownWedding, WedSyncError
from wedsync.model.changes import (
    Change,
    ChangeKind,
    ChangeResult,
    FieldResult,
    FieldState,
    ItemState,
    Outcome,
    Priority,
    Source,
)
from wedsync.model.ids import new_id
from wedsync.model.items import FieldValue, ItemKind
from wedsync.runtime.principal import KeyRing
from wedsync.runtime.server import GrpcServer
from wedsync.runtime.settings import ServerSettings
from wedsync.runtime.telemetry import Telemetry

PLANNER = Source(organization_id="planner", actor="ann")


@dataclass
class FakeSync:
    """Weddings in memory, what the gateway sent, and what it is to be told instead of an answer."""

    weddings: dict[str, wedding_pb2.Wedding] = field(default_factory=dict)
    received: list[change_pb2.Change] = field(default_factory=list)
    """Every change as it arrived, repeats included."""
    applied: list[Change] = field(default_factory=list)
    items: dict[str, ItemState] = field(default_factory=dict)
    commits: list[commit_pb2.Commit] = field(default_factory=list)
    log: list[change_pb2.LoggedChange] = field(default_factory=list)
    refusals: list[WedSyncError] = field(default_factory=list)
    """Raised one after the other instead of answering `ApplyChanges`."""
    open: asyncio.Event = field(default_factory=asyncio.Event)
    """While cleared, `ApplyChanges` takes what it gets and never answers."""
    target: str = ""

    def __post_init__(self) -> None:
        self.open.set()
        self._news = asyncio.Condition()
        self._results: dict[str, ChangeResult] = {}

    def add_wedding(self, organization_id: str) -> str:
        """Make a wedding that the organization is a member of; return its id."""
        wedding = wedding_pb2.Wedding(
            wedding_id=new_id(),
            time_zone="America/New_York",
            members=[wedding_pb2.Member(organization_id=organization_id, role="planner")],
        )
        self.weddings[wedding.wedding_id] = wedding
        return wedding.wedding_id

    def titles(self) -> set[FieldValue]:
        """Return the titles of the timeline events that are not deleted."""
        kept = [i for i in self.items.values() if i.kind is ItemKind.TIMELINE_EVENT and not i.deleted]
        return {item.value("title") for item in kept}

    def item(self, title: str) -> ItemState:
        """Return the item with that title."""
        [found] = [item for item in self.items.values() if item.value("title") == title]
        return found

    async def edit(
        self,
        wedding_id: str,
        values: Mapping[str, FieldValue],
        *,
        item_id: str = "",
        kind: ItemKind = ItemKind.TIMELINE_EVENT,
        delete: bool = False,
    ) -> commit_pb2.Commit:
        """Let a planner change an item; return the commit to be handed over."""
        known = item_id in self.items
        made = ChangeKind.DELETE if delete else ChangeKind.UPDATE if known else ChangeKind.CREATE
        change = Change(
            change_id=new_id(),
            item_id=item_id or new_id(),
            item_kind=kind,
            kind=made,
            source=PLANNER,
            values=values,
            trace_parent=TRACE,
        )
        await self.apply(wedding_id, change)
        return self.commits[-1]

    async def apply(self, wedding_id: str, change: Change) -> ChangeResult:
        """Apply a change once; tell whoever watches."""
        if change.change_id in self._results:
            return replace(self._results[change.change_id], outcome=Outcome.DUPLICATE)
        sequence, now = len(self.log) + 1, SystemClock().now()
        item = self._after(change, sequence)
        result = ChangeResult(
            change_id=change.change_id,
            outcome=Outcome.APPLIED,
            sequence=sequence,
            committed_at=now,
            fields=tuple(
                FieldResult(path=path, outcome=Outcome.APPLIED, revision=sequence, proposed=value)
                for path, value in change.values.items()
            ),
        )
        self.items[item.item_id], self._results[change.change_id] = item, result
        self.applied.append(change)
        self.commits.append(
            commit_pb2.Commit(
                wedding_id=wedding_id,
                sequence=sequence,
                change_id=change.change_id,
                commit_time=timestamp(now),
                item=item_to_message(wedding_id, item),
                source=source_pb2.Source(organization_id=change.source.organization_id),
                priority=priority_to_message(Priority.NORMAL),
                trace_parent=change.trace_parent,
            )
        )
        self.log.append(
            change_pb2.LoggedChange(
                wedding_id=wedding_id,
                sequence=sequence,
                change_id=change.change_id,
                item_id=item.item_id,
                commit_time=timestamp(now),
            )
        )
        async with self._news:
            self._news.notify_all()
        return result

    async def having(self, change_id: str) -> Change:
        """Wait until a change was applied; return it."""
        async with self._news:
            await self._news.wait_for(lambda: change_id in self._results)
        return next(change for change in self.applied if change.change_id == change_id)

    async def after(self, sequence: int) -> change_pb2.LoggedChange:
        """Wait for the log's entry after a sequence."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.log) > sequence)
        return self.log[sequence]

    def _after(self, change: Change, sequence: int) -> ItemState:
        def state(value: FieldValue) -> FieldState:
            return FieldState(value=value, revision=sequence, source=change.source)

        before = self.items.get(change.item_id)
        item = before or ItemState(item_id=change.item_id, kind=change.item_kind, life=state(None))
        values = {path: state(value) for path, value in change.values.items()}
        life = state(True) if change.kind is ChangeKind.DELETE else item.life
        return replace(item, life=life, fields={**item.fields, **values})


class _Servicer(service_pb2_grpc.SyncServiceServicer):
    """What the gateway asks of the sync service."""

    def __init__(self, sync: FakeSync) -> None:
        self._sync = sync

    async def GetWedding(  # noqa: N802 - gRPC's name
        self, request: service_pb2.GetWeddingRequest, context: Any
    ) -> wedding_pb2.Wedding:
        return self._known(request.wedding_id)

    async def ApplyChanges(  # noqa: N802 - gRPC's name
        self, request: service_pb2.ApplyChangesRequest, context: Any
    ) -> service_pb2.ApplyChangesResponse:
        self._sync.received.extend(request.changes)
        if self._sync.refusals:
            raise self._sync.refusals.pop(0)
        await self._sync.open.wait()
        changes = [_change(message) for message in request.changes]
        results = [(change, await self._sync.apply(request.wedding_id, change)) for change in changes]
        return service_pb2.ApplyChangesResponse(
            results=[result_to_message(change.item_kind, result) for change, result in results]
        )

    async def ListChanges(  # noqa: N802 - gRPC's name
        self, request: service_pb2.ListChangesRequest, context: Any
    ) -> service_pb2.ListChangesResponse:
        if self._sync.refusals:
            raise self._sync.refusals.pop(0)
        found = [change for change in self._sync.log if change.sequence > request.after_sequence]
        return service_pb2.ListChangesResponse(changes=found[: request.page_size])

    async def WatchWedding(  # noqa: N802 - gRPC's name
        self, request: service_pb2.WatchWeddingRequest, context: Any
    ) -> AsyncIterator[service_pb2.WatchWeddingResponse]:
        self._known(request.wedding_id)
        log = self._sync.log
        after = request.after_sequence if request.HasField("after_sequence") else len(log)
        yield service_pb2.WatchWeddingResponse(sequence=after)
        while True:
            change = await self._sync.after(after)
            after = change.sequence
            yield service_pb2.WatchWeddingResponse(change=change, sequence=after)

    def _known(self, wedding_id: str) -> wedding_pb2.Wedding:
        if wedding_id not in self._sync.weddings:
            raise UnknownWedding
        return self._sync.weddings[wedding_id]


def _change(message: change_pb2.Change) -> Change:
    problems: list[FieldViolation] = []
    change = change_from_message(
        message,
        at="change",
        source=source_from_message(message.source),
        trace_parent=message.trace_parent,
        problems=problems,
    )
    assert change is not None, problems
    return change


@contextlib.asynccontextmanager
async def running_sync(keys_file: Path) -> AsyncIterator[FakeSync]:
    """Serve on a free port, with the service's real server, until the end."""
    sync = FakeSync()
    settings = ServerSettings.model_validate({"database_url": "postgresql://unused", "drain_seconds": 0})
    server = GrpcServer(
        settings=settings,
        keys=KeyRing.from_file(keys_file),
        telemetry=Telemetry(),
        servicers=[(service_pb2_grpc.add_SyncServiceServicer_to_server, _Servicer(sync))],  # type: ignore[abstract]
        checks=[],
    )
    await server.start()
    sync.target = f"127.0.0.1:{server.port}"
    try:
        yield sync
    finally:
        await server.stop()
