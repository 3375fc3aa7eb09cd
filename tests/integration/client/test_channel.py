"""Channels over real gRPC: the key, the retries, the limits, and errors as they come off the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
import pytest

from wedsync.api.sync.v1 import change_pb2, service_pb2, service_pb2_grpc, wedding_pb2
from wedsync.client import SyncClient, open_channel
from wedsync.convert import abort_with
from wedsync.convert.status import LEFT_OUT
from wedsync.errors import (
    DeadlineExceeded,
    FieldViolation,
    InvalidRequest,
    Overloaded,
    StaleRevision,
    Unavailable,
    WedSyncError,
)

Answer = Callable[[dict[str, str]], Awaitable[str]]


class Sync(service_pb2_grpc.SyncServiceServicer):
    """Answers each call by what the test hands in."""

    def __init__(self, answer: Answer) -> None:
        self._answer, self.calls = answer, 0
        self.seen: list[dict[str, str]] = []

    async def GetWedding(self, request: Any, context: Any) -> wedding_pb2.Wedding:  # noqa: N802
        """Answer with a title, or end with the error."""
        self.calls += 1
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        self.seen.append(metadata)
        try:
            return wedding_pb2.Wedding(title=await self._answer(metadata))
        except WedSyncError as error:
            await abort_with(context, error)

    async def WatchWedding(  # noqa: N802
        self, request: service_pb2.WatchWeddingRequest, context: Any
    ) -> AsyncIterator[service_pb2.WatchWeddingResponse]:
        """Say where it starts and one change, then drain; nothing on a later call."""
        self.calls += 1
        self.seen.append({key: str(value) for key, value in context.invocation_metadata()})
        after = request.after_sequence
        yield service_pb2.WatchWeddingResponse(sequence=after)
        change = change_pb2.LoggedChange(sequence=after + 1)
        yield service_pb2.WatchWeddingResponse(change=change, sequence=after + 1)
        if after < 2:
            await abort_with(context, Unavailable("draining", retry_after=0.0))


async def plainly(_: dict[str, str]) -> str:
    """Answer at once."""
    return "Ada & Grace"


@asynccontextmanager
async def serving(answer: Answer = plainly) -> AsyncIterator[tuple[Sync, str]]:
    """A server on a free port."""
    sync, server = Sync(answer), grpc.aio.server()  # type: ignore[abstract]  # the rest is not asked for
    service_pb2_grpc.add_SyncServiceServicer_to_server(sync, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield sync, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def test_the_channels_key_goes_with_every_call() -> None:
    """Unary calls and streams carry the channel's key, unless a call names its own."""
    async with serving() as (sync, target), open_channel(target, api_key="mine") as channel:
        client = SyncClient(channel)
        await client.get_wedding("w", trace_parent="00-a-b-01")
        await client.get_wedding("w", api_key="callers")
        async with aclosing(client.watch_wedding("w", 2)) as messages:
            async for _ in messages:
                break
    assert [m["authorization"] for m in sync.seen] == ["Bearer mine", "Bearer callers", "Bearer mine"]
    assert sync.seen[0]["traceparent"] == "00-a-b-01"


async def test_a_channel_without_a_key_sends_none() -> None:
    """Without a key there is no authorization metadata."""
    async with serving() as (sync, target), open_channel(target, api_key=None) as channel:
        await SyncClient(channel).get_wedding("w")
    assert "authorization" not in sync.seen[0]


async def test_unavailable_is_tried_again_a_few_times() -> None:
    """A call that meets UNAVAILABLE twice succeeds; one that always meets it fails after four tries."""
    answers = iter([Unavailable(), Unavailable()])

    async def shaky(_: dict[str, str]) -> str:
        if (error := next(answers, None)) is not None:
            raise error
        return "Ada & Grace"

    async def down(_: dict[str, str]) -> str:
        raise Unavailable

    async with serving(shaky) as (sync, target), open_channel(target, api_key="k") as channel:
        assert (await SyncClient(channel).get_wedding("w")).title == "Ada & Grace"
        assert sync.calls == 3
    async with serving(down) as (sync, target), open_channel(target, api_key="k") as channel:
        with pytest.raises(Unavailable):
            await SyncClient(channel).get_wedding("w")
        assert sync.calls == 4


@pytest.mark.parametrize("error", [Overloaded(retry_after=2.0), StaleRevision(), WedSyncError()])
async def test_nothing_else_is_tried_again(error: WedSyncError) -> None:
    """Any other status is the caller's to act on: one call, and the error with its data."""

    async def refuse(_: dict[str, str]) -> str:
        raise error

    async with serving(refuse) as (sync, target), open_channel(target, api_key="k") as channel:
        with pytest.raises(type(error)) as raised:
            await SyncClient(channel).get_wedding("w")
    assert sync.calls == 1
    assert raised.value.retry_after == error.retry_after


async def test_every_call_ends() -> None:
    """A service that hangs is left at the deadline."""

    async def hang(_: dict[str, str]) -> str:
        await asyncio.Event().wait()
        return ""

    async with serving(hang) as (_, target), open_channel(target, api_key="k") as channel:
        with pytest.raises(DeadlineExceeded):
            await SyncClient(channel).get_wedding("w", timeout=0.2)


async def test_a_service_that_is_not_there_is_unavailable() -> None:
    """Nobody listening is `Unavailable`."""
    async with serving() as (_, target):
        pass
    async with open_channel(target, api_key="k") as channel:
        with pytest.raises(Unavailable):
            await SyncClient(channel).get_wedding("w", timeout=5.0)


async def test_more_than_four_mebibytes_do_not_pass() -> None:
    """A message above the limit is refused in either direction."""

    async def huge(_: dict[str, str]) -> str:
        return "x" * (5 << 20)

    async with serving(huge) as (_, target), open_channel(target, api_key="k") as channel:
        with pytest.raises(Overloaded):
            await SyncClient(channel).get_wedding("w")
        with pytest.raises(Overloaded):
            await SyncClient(channel).get_wedding("w" * (5 << 20))


async def test_a_long_list_of_violations_reaches_the_caller() -> None:
    """However much is wrong, the caller gets the first of it and how much was left out."""
    wrong = [FieldViolation(f"changes[{i}].content.timeline_event.title", "é" * 1000) for i in range(500)]

    async def refuse(_: dict[str, str]) -> str:
        raise InvalidRequest("ü" * 5000, violations=wrong)

    async with serving(refuse) as (_, target), open_channel(target, api_key="k") as channel:
        with pytest.raises(InvalidRequest) as raised:
            await SyncClient(channel).get_wedding("w")
    kept = raised.value.violations
    assert kept[0].field == "changes[0].content.timeline_event.title"
    assert int(raised.value.metadata[LEFT_OUT]) == 500 - len(kept)


async def test_a_drained_watch_goes_on_over_the_wire() -> None:
    """A watch reads on after each UNAVAILABLE of a draining server; the channel repeats no stream."""
    async with serving() as (sync, target), open_channel(target, api_key="k") as channel:
        seen = [m.sequence async for m in SyncClient(channel).watch_wedding("w", 0)]
    assert seen == [0, 1, 2, 3]
    assert sync.calls == 3


async def test_an_encrypted_channel_needs_a_peer_that_speaks_it() -> None:
    """With credentials the channel uses TLS: a plain server is not talked to."""
    async with serving() as (sync, target):
        credentials = grpc.ssl_channel_credentials()
        async with open_channel(target, api_key="k", credentials=credentials) as channel:
            with pytest.raises((Unavailable, DeadlineExceeded)):
                await SyncClient(channel).get_wedding("w", timeout=1.0)
        assert sync.calls == 0
