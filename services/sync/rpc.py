"""What may be asked of the sync service: translate, call, translate back."""
# ruff: noqa: N802, ARG002  # names and parameters are gRPC's

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import grpc

from services.sync import rpc_requests as requests
from services.sync.edits import Edits
from services.sync.feed import Message
from services.sync.live import Live
from services.sync.records import LogEntry, WeddingRecord
from services.sync.store import SyncStore
from services.sync.visibility import Visibility
from wedsync.api.common.v1 import item_pb2
from wedsync.api.sync.v1 import change_pb2, service_pb2, service_pb2_grpc, wedding_pb2
from wedsync.convert import item_to_message, logged_change_to_message, result_to_message
from wedsync.convert.changes import timestamp
from wedsync.convert.items import date_to_message
from wedsync.errors import FieldViolation, InvalidRequest, Overloaded
from wedsync.runtime.principal import Principal, Scope, require
from wedsync.runtime.requests import page_size, page_token, place_of, require_id
from wedsync.runtime.telemetry import current_traceparent

Context = grpc.aio.ServicerContext[Any, Any]

_FIRST_ID = "00000000-0000-0000-0000-000000000000"


class SyncRpc(service_pb2_grpc.SyncServiceServicer):
    """The servicer of `SyncService`."""

    def __init__(
        self,
        *,
        store: SyncStore,
        visibility: Visibility,
        edits: Edits,
        live: Live,
        slow_reader_seconds: float,
    ) -> None:
        self._store, self._visibility, self._edits = store, visibility, edits
        self._live, self._slow_reader_seconds = live, slow_reader_seconds

    async def CreateWedding(
        self, request: service_pb2.CreateWeddingRequest, context: Context
    ) -> wedding_pb2.Wedding:
        """Create a wedding."""
        caller = require(Scope.WRITE)
        wedding = requests.wedding_from(request.wedding, caller)
        return _wedding(await self._store.create_wedding(wedding, viewer=caller.organization_id))

    async def GetWedding(
        self, request: service_pb2.GetWeddingRequest, context: Context
    ) -> wedding_pb2.Wedding:
        """Return one wedding."""
        viewer = _viewer(require(Scope.READ))
        wedding_id = require_id("wedding_id", request.wedding_id)
        return _wedding(await self._store.get_wedding(wedding_id, viewer=viewer))

    async def ListWeddings(
        self, request: service_pb2.ListWeddingsRequest, context: Context
    ) -> service_pb2.ListWeddingsResponse:
        """List the caller's weddings."""
        caller = require(Scope.READ)
        size = page_size(request.page_size, default=50, most=200)
        found = await self._store.list_weddings(
            organization_id=caller.organization_id, after=_wedding_place(request.page_token), limit=size + 1
        )
        page, more = found[:size], found[size:]
        return service_pb2.ListWeddingsResponse(
            weddings=[_wedding(wedding) for wedding in page],
            next_page_token=_wedding_token(page[-1]) if more else "",
        )

    async def ApplyChanges(
        self, request: service_pb2.ApplyChangesRequest, context: Context
    ) -> service_pb2.ApplyChangesResponse:
        """Apply changes to one wedding."""
        caller = require(Scope.WRITE)
        wedding_id = require_id("wedding_id", request.wedding_id)
        changes = requests.changes_from(request, caller, trace_parent=current_traceparent() or "")
        await self._visibility.require(wedding_id, viewer=_viewer(caller))
        results = await self._edits.apply(wedding_id, changes)
        return service_pb2.ApplyChangesResponse(
            results=[
                result_to_message(change.item_kind, result)
                for change, result in zip(changes, results, strict=True)
            ]
        )

    async def GetItem(self, request: service_pb2.GetItemRequest, context: Context) -> item_pb2.Item:
        """Return one item."""
        viewer = _viewer(require(Scope.READ))
        wedding_id = require_id("wedding_id", request.wedding_id)
        item_id = require_id("item_id", request.item_id)
        return item_to_message(wedding_id, await self._store.get_item(wedding_id, item_id, viewer=viewer))

    async def ListItems(
        self, request: service_pb2.ListItemsRequest, context: Context
    ) -> service_pb2.ListItemsResponse:
        """List a wedding's items."""
        viewer = _viewer(require(Scope.READ))
        wedding_id = require_id("wedding_id", request.wedding_id)
        size = page_size(request.page_size, default=100, most=500)
        place = place_of(request.page_token, parts=1)
        found = await self._store.list_items(
            wedding_id,
            viewer=viewer,
            after=require_id("page_token", place[0]) if place else _FIRST_ID,
            deleted=request.show_deleted,
            limit=size + 1,
        )
        page, more = found[:size], found[size:]
        return service_pb2.ListItemsResponse(
            items=[item_to_message(wedding_id, item) for item in page],
            next_page_token=page_token([page[-1].item_id]) if more else "",
        )

    async def ListChanges(
        self, request: service_pb2.ListChangesRequest, context: Context
    ) -> service_pb2.ListChangesResponse:
        """List a wedding's log."""
        viewer = _viewer(require(Scope.READ))
        wedding_id = require_id("wedding_id", request.wedding_id)
        if request.item_id:
            require_id("item_id", request.item_id)
        size = page_size(request.page_size, default=100, most=500)
        after = _after(request.after_sequence)
        found = await self._store.list_changes(
            wedding_id, viewer=viewer, after=after, item_id=request.item_id, limit=size + 1
        )
        page, more = found[:size], found[size:]
        return service_pb2.ListChangesResponse(
            changes=[_logged(wedding_id, entry) for entry in page],
            next_after_sequence=page[-1].result.sequence if more else 0,
        )

    async def WatchWedding(  # type: ignore[override]  # gRPC also takes one that writes by itself
        self, request: service_pb2.WatchWeddingRequest, context: Context
    ) -> None:
        """Stream a wedding's log, then what comes."""
        viewer = _viewer(require(Scope.READ))
        wedding_id = require_id("wedding_id", request.wedding_id)
        after = _after(request.after_sequence) if request.HasField("after_sequence") else None
        async with self._live.watching(wedding_id, viewer=viewer, after=after) as watch:
            reached = watch.reached
            await self._send(context, service_pb2.WatchWeddingResponse(sequence=reached), reached)
            while True:
                for message in await watch.news():
                    await self._send(context, message, reached)
                    reached = message.sequence

    async def _send(self, context: Context, message: Message, reached: int) -> None:
        try:
            async with asyncio.timeout(self._slow_reader_seconds):
                await context.write(message)
        except TimeoutError:
            raise Overloaded(
                f"The reader is too slow; go on after sequence {reached}, or after the last one seen.",
                metadata={"after_sequence": str(reached)},
                retry_after=1.0,
            ) from None


def _viewer(caller: Principal) -> str | None:
    """Return whose eyes to look through; our own services see every wedding."""
    return None if Scope.INTERNAL in caller.scopes else caller.organization_id


def _after(sequence: int) -> int:
    if sequence < 0:
        raise InvalidRequest(violations=[FieldViolation("after_sequence", "must not be negative")])
    return sequence


def _wedding_place(token: str) -> tuple[datetime, str] | None:
    place = place_of(token, parts=2)
    if place is None:
        return None
    try:
        return datetime.fromisoformat(place[0]), require_id("page_token", place[1])
    except ValueError:
        raise InvalidRequest(violations=[FieldViolation("page_token", "is none of ours")]) from None


def _wedding_token(wedding: WeddingRecord) -> str:
    created = wedding.created_at.isoformat() if wedding.created_at else ""
    return page_token([created, wedding.wedding_id])


def _wedding(wedding: WeddingRecord) -> wedding_pb2.Wedding:
    members: Sequence[wedding_pb2.Member] = [
        wedding_pb2.Member(organization_id=organization, role=role) for organization, role in wedding.members
    ]
    message = wedding_pb2.Wedding(
        wedding_id=wedding.wedding_id,
        title=wedding.title,
        date=date_to_message(wedding.day.isoformat()) if wedding.day else None,
        time_zone=wedding.time_zone,
        members=members,
        sequence=wedding.sequence,
    )
    if wedding.sequence and wedding.committed_at:
        message.update_time.CopyFrom(timestamp(wedding.committed_at))
    return message


def _logged(wedding_id: str, entry: LogEntry) -> change_pb2.LoggedChange:
    return logged_change_to_message(wedding_id=wedding_id, change=entry.change, result=entry.result)


def watched(wedding_id: str, entry: LogEntry) -> service_pb2.WatchWeddingResponse:
    """Return an entry of a wedding's log as its watchers get it."""
    return service_pb2.WatchWeddingResponse(change=_logged(wedding_id, entry), sequence=entry.result.sequence)
