"""The sync service: weddings, their items, their log."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Unpack

import grpc

from wedsync.api.common.v1 import item_pb2
from wedsync.api.sync.v1 import change_pb2, service_pb2, service_pb2_grpc, wedding_pb2
from wedsync.client.calls import CallOptions, pages, stream, unary
from wedsync.client.resume import Resume
from wedsync.clock import Clock, SystemClock
from wedsync.convert import change_to_message, result_from_message
from wedsync.convert.items import date_to_message
from wedsync.errors import WedSyncError
from wedsync.model.changes import Change, ChangeKind, ChangeResult, Source
from wedsync.model.ids import new_id
from wedsync.model.items import FieldValue, ItemKind

CALLER = Source(organization_id="", actor="")
"""The source of a caller's own change: the service reads who that is from the API key."""

WATCH_SECONDS = 3600.0
"""How long one stream lives; a watch that resumes opens the next one then."""


def wedding_message(
    title: str, date: str, time_zone: str, *, members: Sequence[wedding_pb2.Member] = (), wedding_id: str = ""
) -> wedding_pb2.Wedding:
    """Return a new wedding on a day `2027-06-12`, with an id of its own unless one is given."""
    return wedding_pb2.Wedding(
        wedding_id=wedding_id or new_id(),
        title=title,
        date=date_to_message(date),
        time_zone=time_zone,
        members=members,
    )


def new_item(kind: ItemKind, **values: FieldValue) -> Change:
    """Return the change that creates an item with these values, with fresh ids."""
    return Change(
        change_id=new_id(),
        item_id=new_id(),
        item_kind=kind,
        kind=ChangeKind.CREATE,
        source=CALLER,
        values=values,
    )


class SyncClient:
    """The canonical record of every wedding."""

    def __init__(self, channel: grpc.aio.Channel, *, clock: Clock | None = None) -> None:
        self._stub = service_pb2_grpc.SyncServiceStub(channel)
        self._clock = clock or SystemClock()

    async def create_wedding(
        self, wedding: wedding_pb2.Wedding, **options: Unpack[CallOptions]
    ) -> wedding_pb2.Wedding:
        """Create a wedding. Raises `AlreadyExists` if its id stands for another one.

        One without an id gets one here, so that a retry cannot create it twice.
        """
        named = wedding_pb2.Wedding()
        named.CopyFrom(wedding)
        named.wedding_id = wedding.wedding_id or new_id()
        return await unary(self._stub.CreateWedding, service_pb2.CreateWeddingRequest(wedding=named), options)

    async def get_wedding(
        self,
        wedding_id: str,
        *,
        as_of: service_pb2.AsOf | None = None,
        full: bool = False,
        **options: Unpack[CallOptions],
    ) -> wedding_pb2.Wedding:
        """Return one wedding as it is or was, with its items if `full`. Raises `UnknownWedding`."""
        view = service_pb2.WEDDING_VIEW_FULL if full else service_pb2.WEDDING_VIEW_UNSPECIFIED
        request = service_pb2.GetWeddingRequest(wedding_id=wedding_id, as_of=as_of, view=view)
        return await unary(self._stub.GetWedding, request, options)

    def list_weddings(
        self, *, page_size: int = 0, **options: Unpack[CallOptions]
    ) -> AsyncIterator[wedding_pb2.Wedding]:
        """Yield the caller's weddings, oldest first."""

        async def fetch(token: str) -> tuple[Sequence[wedding_pb2.Wedding], str]:
            request = service_pb2.ListWeddingsRequest(page_size=page_size, page_token=token)
            answer = await unary(self._stub.ListWeddings, request, options)
            return answer.weddings, answer.next_page_token

        return pages("", fetch)

    async def apply_changes(
        self,
        wedding_id: str,
        changes: Sequence[Change],
        *,
        on_behalf: bool = False,
        backfill: bool = False,
        **options: Unpack[CallOptions],
    ) -> list[ChangeResult]:
        """Apply changes in order; each has a result of its own. Safe to repeat with the same change ids.

        `backfill` has them travel behind what people do now.

        With `on_behalf`, for services of WedSync only, each change is its source's and not the caller's.
        """
        proposals = [_proposal(change, on_behalf=on_behalf) for change in changes]
        request = service_pb2.ApplyChangesRequest(wedding_id=wedding_id, changes=proposals, backfill=backfill)
        answer = await unary(self._stub.ApplyChanges, request, options)
        return [result_from_message(result) for result in answer.results]

    async def get_item(
        self,
        wedding_id: str,
        item_id: str,
        *,
        as_of: service_pb2.AsOf | None = None,
        **options: Unpack[CallOptions],
    ) -> item_pb2.Item:
        """Return one item as it is or was, a deleted one too. Raises `NotFound`."""
        request = service_pb2.GetItemRequest(wedding_id=wedding_id, item_id=item_id, as_of=as_of)
        return await unary(self._stub.GetItem, request, options)

    def list_items(
        self,
        wedding_id: str,
        *,
        show_deleted: bool = False,
        as_of: service_pb2.AsOf | None = None,
        page_size: int = 0,
        **options: Unpack[CallOptions],
    ) -> AsyncIterator[item_pb2.Item]:
        """Yield a wedding's items as they are or were."""

        async def fetch(token: str) -> tuple[Sequence[item_pb2.Item], str]:
            request = service_pb2.ListItemsRequest(
                wedding_id=wedding_id,
                show_deleted=show_deleted,
                as_of=as_of,
                page_size=page_size,
                page_token=token,
            )
            answer = await unary(self._stub.ListItems, request, options)
            return answer.items, answer.next_page_token

        return pages("", fetch)

    def list_changes(
        self,
        wedding_id: str,
        *,
        after_sequence: int = 0,
        item_id: str = "",
        only: service_pb2.ChangeFilter | None = None,
        page_size: int = 0,
        **options: Unpack[CallOptions],
    ) -> AsyncIterator[change_pb2.LoggedChange]:
        """Yield a wedding's log in order, optionally of one item or of what fits a filter."""

        async def fetch(after: int) -> tuple[Sequence[change_pb2.LoggedChange], int]:
            request = service_pb2.ListChangesRequest(
                wedding_id=wedding_id,
                after_sequence=after,
                item_id=item_id,
                filter=only,
                page_size=page_size,
            )
            answer = await unary(self._stub.ListChanges, request, options)
            return answer.changes, answer.next_after_sequence

        return pages(after_sequence, fetch)

    async def pause_wedding(
        self, wedding_id: str, reason: str, *, request_id: str = "", **options: Unpack[CallOptions]
    ) -> wedding_pb2.Wedding:
        """Have the wedding take no more changes; everybody is told the reason."""
        request = service_pb2.PauseWeddingRequest(
            wedding_id=wedding_id, request_id=request_id or new_id(), reason=reason
        )
        return await unary(self._stub.PauseWedding, request, options)

    async def resume_wedding(
        self, wedding_id: str, *, request_id: str = "", **options: Unpack[CallOptions]
    ) -> wedding_pb2.Wedding:
        """Have a paused wedding take changes again."""
        request = service_pb2.ResumeWeddingRequest(wedding_id=wedding_id, request_id=request_id or new_id())
        return await unary(self._stub.ResumeWedding, request, options)

    async def rewind_wedding(
        self,
        wedding_id: str,
        to_sequence: int,
        *,
        source: service_pb2.SourceFilter | None = None,
        dry_run: bool = False,
        request_id: str = "",
        **options: Unpack[CallOptions],
    ) -> service_pb2.RewindWeddingResponse:
        """Bring a wedding, or what one source did to it, back to a sequence, or only say what that means."""
        request = service_pb2.RewindWeddingRequest(
            wedding_id=wedding_id,
            request_id=request_id or new_id(),
            to_sequence=to_sequence,
            source=source,
            dry_run=dry_run,
        )
        return await unary(self._stub.RewindWedding, request, options)

    async def watch_wedding(
        self,
        wedding_id: str,
        after_sequence: int | None = None,
        *,
        resume: bool = True,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[service_pb2.WatchWeddingResponse, None]:
        """Yield the log from a sequence on, then live; the first message says where the stream starts.

        With `resume` a broken stream goes on at the last sequence seen, without gap or repeat; it
        raises only what no retry mends, or the last error once the tries in a row are used up.
        Close it (`contextlib.aclosing`) when leaving the loop early.
        """
        progress = Resume(after_sequence)
        while True:
            opened = self._clock.monotonic()
            try:
                async with aclosing(self._watch(wedding_id, progress.after, options)) as messages:
                    async for message in messages:
                        if progress.is_new(message.sequence, logged=message.HasField("change")):
                            yield message
            except WedSyncError as error:
                if not resume:
                    raise
                await self._clock.sleep(progress.pause(error, lived=self._clock.monotonic() - opened))
            else:
                return

    def _watch(
        self, wedding_id: str, after: int | None, options: CallOptions
    ) -> AsyncGenerator[service_pb2.WatchWeddingResponse, None]:
        request = service_pb2.WatchWeddingRequest(wedding_id=wedding_id, after_sequence=after)
        lifetime = options.get("timeout", WATCH_SECONDS)
        return stream(self._stub.WatchWedding, request, options, timeout=lifetime)


def _proposal(change: Change, *, on_behalf: bool) -> change_pb2.Change:
    message = change_to_message(change)
    if change.source.link_id is None and not on_behalf:
        # Only what a vendor told us names its source; anyone else's is read from their key.
        message.ClearField("source")
    return message
