"""What may be asked of the sync service: translate, call, translate back."""
# ruff: noqa: N802, ARG002  # names and parameters are gRPC's

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import grpc

from services.sync import rpc_answers as answers
from services.sync import rpc_history as history
from services.sync import rpc_requests as requests
from services.sync.edits import APPLY_SECONDS, Edits
from services.sync.feed import Message
from services.sync.live import Live
from services.sync.pause import pausing, resuming
from services.sync.rewinder import rewind
from services.sync.store import FIRST_ID, SyncStore
from services.sync.store_history import HistoryStore
from services.sync.store_log import LogStore
from services.sync.visibility import Visibility
from wedsync.api.common.v1 import item_pb2
from wedsync.api.sync.v1 import service_pb2, service_pb2_grpc, wedding_pb2
from wedsync.clock import Clock
from wedsync.convert import item_to_message, result_to_message
from wedsync.errors import ChangeIdReused, FailedPrecondition, Overloaded
from wedsync.model.changes import Change, ChangeResult, Outcome
from wedsync.runtime.principal import Principal, Scope, require
from wedsync.runtime.requests import page_size, page_token, place_of, require_id
from wedsync.runtime.server import MAX_MESSAGE_BYTES
from wedsync.runtime.telemetry import current_traceparent

Context = grpc.aio.ServicerContext[Any, Any]


class SyncRpc(service_pb2_grpc.SyncServiceServicer):
    """The servicer of `SyncService`."""

    def __init__(
        self,
        *,
        store: SyncStore,
        log: LogStore,
        history: HistoryStore,
        visibility: Visibility,
        edits: Edits,
        live: Live,
        slow_reader_seconds: float,
        clock: Clock,
    ) -> None:
        self._store, self._log, self._history = store, log, history
        self._visibility, self._edits = visibility, edits
        self._live, self._slow_reader_seconds, self._clock = live, slow_reader_seconds, clock

    async def CreateWedding(
        self, request: service_pb2.CreateWeddingRequest, context: Context
    ) -> wedding_pb2.Wedding:
        """Create a wedding."""
        caller = require(Scope.WRITE)
        wedding = requests.wedding_from(request.wedding, caller)
        return answers.wedding_message(
            await self._store.create_wedding(wedding, viewer=caller.organization_id)
        )

    async def GetWedding(
        self, request: service_pb2.GetWeddingRequest, context: Context
    ) -> wedding_pb2.Wedding:
        """Return one wedding."""
        viewer = requests.viewer_of(require(Scope.READ))
        wedding_id, at = require_id("wedding_id", request.wedding_id), history.moment_of(request)
        if at is None:
            wedding = await self._store.get_wedding(wedding_id, viewer=viewer)
        else:
            wedding = await self._history.get_wedding(wedding_id, viewer=viewer, at=at)
        message = answers.wedding_message(wedding)
        if request.view == service_pb2.WEDDING_VIEW_FULL:
            items = await self._history.all_items(wedding_id, viewer=viewer, at=wedding.sequence)
            message.items.extend(item_to_message(wedding_id, item) for item in items)
        if message.ByteSize() > MAX_MESSAGE_BYTES:
            raise FailedPrecondition("The wedding's items are too large for one answer; list them.")
        return message

    async def ListWeddings(
        self, request: service_pb2.ListWeddingsRequest, context: Context
    ) -> service_pb2.ListWeddingsResponse:
        """List the caller's weddings."""
        caller = require(Scope.READ)
        size = page_size(request.page_size, default=50, most=200)
        found = await self._store.list_weddings(
            organization_id=caller.organization_id,
            after=answers.wedding_place(request.page_token),
            limit=size + 1,
        )
        page, more = found[:size], found[size:]
        return service_pb2.ListWeddingsResponse(
            weddings=[answers.wedding_message(wedding) for wedding in page],
            next_page_token=answers.wedding_token(page[-1]) if more else "",
        )

    async def ApplyChanges(
        self, request: service_pb2.ApplyChangesRequest, context: Context
    ) -> service_pb2.ApplyChangesResponse:
        """Apply changes to one wedding."""
        caller = require(Scope.WRITE)
        wedding_id = require_id("wedding_id", request.wedding_id)
        changes = requests.changes_from(request, caller, trace_parent=_trace())
        results = await self._apply(
            changes, wedding_id=wedding_id, caller=caller, context=context, backfill=request.backfill
        )
        return service_pb2.ApplyChangesResponse(
            results=[
                result_to_message(change.item_kind, result)
                for change, result in zip(changes, results, strict=True)
            ]
        )

    async def GetItem(self, request: service_pb2.GetItemRequest, context: Context) -> item_pb2.Item:
        """Return one item."""
        viewer = requests.viewer_of(require(Scope.READ))
        wedding_id = require_id("wedding_id", request.wedding_id)
        item_id, at = require_id("item_id", request.item_id), history.moment_of(request)
        if at is None:
            item = await self._store.get_item(wedding_id, item_id, viewer=viewer)
        else:
            item = await self._history.get_item(wedding_id, item_id, viewer=viewer, at=at)
        return item_to_message(wedding_id, item)

    async def ListItems(
        self, request: service_pb2.ListItemsRequest, context: Context
    ) -> service_pb2.ListItemsResponse:
        """List a wedding's items."""
        viewer = requests.viewer_of(require(Scope.READ))
        wedding_id = require_id("wedding_id", request.wedding_id)
        at, place = history.moment_of(request), place_of(request.page_token, parts=1)
        asked: dict[str, Any] = {
            "viewer": viewer,
            "after": require_id("page_token", place[0]) if place else FIRST_ID,
            "deleted": request.show_deleted,
            "limit": page_size(request.page_size, default=100, most=500),
        }
        page = await (
            self._store.list_items(wedding_id, **asked)
            if at is None
            else self._history.list_items(wedding_id, at=at, **asked)
        )
        return service_pb2.ListItemsResponse(
            items=[item_to_message(wedding_id, item) for item in page.items],
            next_page_token=page_token([page.next_after]) if page.next_after else "",
        )

    async def ListChanges(
        self, request: service_pb2.ListChangesRequest, context: Context
    ) -> service_pb2.ListChangesResponse:
        """List a wedding's log."""
        viewer = requests.viewer_of(require(Scope.READ))
        wedding_id = require_id("wedding_id", request.wedding_id)
        page = await self._log.list_changes(
            wedding_id,
            viewer=viewer,
            after=requests.after_of(request.after_sequence),
            limit=page_size(request.page_size, default=100, most=500),
            only=history.filter_of(request),
        )
        return service_pb2.ListChangesResponse(
            changes=[answers.logged(wedding_id, entry) for entry in page.entries],
            next_after_sequence=page.next_after,
        )

    async def WatchWedding(  # type: ignore[override]  # gRPC also takes one that writes by itself
        self, request: service_pb2.WatchWeddingRequest, context: Context
    ) -> None:
        """Stream a wedding's log, then what comes."""
        viewer = requests.viewer_of(require(Scope.READ))
        wedding_id = require_id("wedding_id", request.wedding_id)
        after = requests.after_of(request.after_sequence) if request.HasField("after_sequence") else None
        async with self._live.watching(wedding_id, viewer=viewer, after=after) as watch:
            reached = watch.reached
            await self._send(context, service_pb2.WatchWeddingResponse(sequence=reached), reached)
            while True:
                for message in await watch.news():
                    await self._send(context, message, reached)
                    reached = message.sequence

    async def PauseWedding(
        self, request: service_pb2.PauseWeddingRequest, context: Context
    ) -> wedding_pb2.Wedding:
        """Have a wedding take no more changes."""
        caller = require(Scope.WRITE)
        reason = history.pause_reason(request)
        ids = require_id("wedding_id", request.wedding_id), require_id("request_id", request.request_id)
        return await self._decree(
            pausing(*ids, reason, requests.author_of(caller), _trace()), caller, context
        )

    async def ResumeWedding(
        self, request: service_pb2.ResumeWeddingRequest, context: Context
    ) -> wedding_pb2.Wedding:
        """Have a paused wedding take changes again."""
        caller = require(Scope.WRITE)
        ids = require_id("wedding_id", request.wedding_id), require_id("request_id", request.request_id)
        return await self._decree(resuming(*ids, requests.author_of(caller), _trace()), caller, context)

    async def RewindWedding(
        self, request: service_pb2.RewindWeddingRequest, context: Context
    ) -> service_pb2.RewindWeddingResponse:
        """Bring a wedding, or what one source did to it, back to an earlier sequence."""
        caller = require(Scope.WRITE)
        wedding_id, viewer = require_id("wedding_id", request.wedding_id), requests.viewer_of(caller)
        asked = history.rewinding_of(request, requests.author_of(caller), trace_parent=_trace())
        apply = partial(self._apply, wedding_id=wedding_id, caller=caller, context=context)
        done = await rewind(
            self._history, wedding_id, asked, viewer=viewer, apply=None if request.dry_run else apply
        )
        return answers.rewound(done, await self._log.sequence(wedding_id, viewer=viewer))

    async def _decree(self, change: Change, caller: Principal, context: Context) -> wedding_pb2.Wedding:
        """Change what is true of the wedding as a whole, and return it."""
        (result,) = await self._apply([change], wedding_id=change.item_id, caller=caller, context=context)
        if result.outcome is Outcome.REJECTED:
            raise ChangeIdReused("This request_id was used for something else; choose a new one.")
        return answers.wedding_message(
            await self._store.get_wedding(change.item_id, viewer=requests.viewer_of(caller))
        )

    async def _apply(
        self,
        changes: Sequence[Change],
        *,
        wedding_id: str,
        caller: Principal,
        context: Context,
        backfill: bool = False,
    ) -> Sequence[ChangeResult]:
        """Have changes applied, in the lanes they belong in, for as long as the caller waits."""
        calendar = await self._visibility.require(wedding_id, viewer=requests.viewer_of(caller))
        live = calendar.live_seconds(self._clock.now())
        return await self._edits.apply(
            wedding_id,
            requests.in_lanes(changes, caller, live=live > 0, backfill=backfill),
            seconds=_seconds(context),
            live_seconds=live,
        )

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


def _seconds(context: Context) -> float:
    """Return how long the caller waits; whoever sets no deadline waits for a while."""
    remaining = context.time_remaining()
    return APPLY_SECONDS if remaining is None else min(remaining, APPLY_SECONDS)


def _trace() -> str:
    return current_traceparent() or ""
