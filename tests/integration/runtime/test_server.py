"""Calls over real gRPC: who may make them, what errors look like, limits, streams and traces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable

import grpc
import pytest

from tests.integration.runtime.conftest import wait_for
from tests.integration.runtime.harness import ByHand, Impatient, running
from wedsync.api.sync.v1 import service_pb2
from wedsync.convert import error_from_rpc
from wedsync.errors import (
    DeadlineExceeded,
    Overloaded,
    PermissionDenied,
    Unauthenticated,
    UnknownWedding,
    WedSyncError,
)
from wedsync.runtime import metrics
from wedsync.runtime.principal import Scope, current_principal, require
from wedsync.runtime.server import MAX_MESSAGE_BYTES
from wedsync.runtime.telemetry import current_traceparent

_PARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


async def test_the_principal_is_there_during_the_call() -> None:
    """A servicer learns the organization, role, actor and scopes from the caller's key."""
    async with running() as it:

        async def get(_: str) -> str:
            who = require(Scope.READ)
            return f"{who.organization_id} {who.role} {who.actor} {sorted(who.scopes)}"

        it.sync.get = get
        assert await it.call() == "org planner ann ['read']"


async def test_without_a_valid_key_no_call_and_no_stream_gets_in() -> None:
    """A wrong key, a missing one, and a stream without one are all unauthenticated, and nothing runs."""
    async with running() as it:
        with pytest.raises(Unauthenticated):
            await it.call(key="wsk_nobody_knows")
        for attempt in (it.stub.GetWedding, it.stub.WatchWedding):
            answer = attempt(service_pb2.GetWeddingRequest(wedding_id="x"))
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await (answer.read() if attempt is it.stub.WatchWedding else answer)
            assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert not it.sync.ended.is_set()


async def test_a_missing_scope_is_denied() -> None:
    """A key that may only read is refused where writing is asked for."""
    async with running() as it:

        async def get(_: str) -> str:
            return require(Scope.WRITE).actor

        it.sync.get = get
        with pytest.raises(PermissionDenied) as raised:
            await it.call()
        assert raised.value.metadata == {"scope": "write"}


async def test_an_error_arrives_as_what_was_raised() -> None:
    """An error of ours reaches the caller with its type, message, metadata and retry time."""
    async with running() as it:

        async def get(_: str) -> str:
            raise Overloaded("the mailbox is full", retry_after=1.5, metadata={"lane": "bulk"})

        it.sync.get = get
        with pytest.raises(Overloaded, match="the mailbox is full") as raised:
            await it.call()
        assert (raised.value.retry_after, raised.value.metadata) == (1.5, {"lane": "bulk"})


async def test_an_unknown_exception_is_logged_and_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The caller reads a generic internal error; the log has the traceback."""
    async with running() as it:

        async def get(_: str) -> str:
            raise KeyError("couple@example.com")

        it.sync.get = get
        with pytest.raises(WedSyncError) as raised:
            await it.call()
        assert type(raised.value) is WedSyncError
        assert "couple" not in str(raised.value)
    [record] = [r for r in caplog.records if "GetWedding failed" in r.message]
    assert record.exc_info is not None
    assert record.exc_info[0] is KeyError


async def test_a_status_set_by_hand_is_left_alone() -> None:
    """A servicer that aborts by itself decides the status."""
    async with running() as it:
        with pytest.raises(WedSyncError, match="ALREADY_EXISTS: by hand"):
            await it.call("abort")


async def test_a_call_without_a_deadline_gets_one() -> None:
    """A call nobody limited ends at the server's own limit, and its work with it."""
    async with running(call_seconds=0.05) as it:

        async def get(_: str) -> str:
            await asyncio.Event().wait()
            return ""

        it.sync.get = get
        with pytest.raises(DeadlineExceeded):
            await it.call()


async def test_a_servicers_own_timeout_is_not_the_calls_deadline(caplog: pytest.LogCaptureFixture) -> None:
    """A TimeoutError from inside is an internal error, for it says nothing about the call's time."""
    async with running() as it:

        async def get(_: str) -> str:
            raise TimeoutError

        it.sync.get = get
        with pytest.raises(WedSyncError) as raised:
            await it.call()
        assert type(raised.value) is WedSyncError


async def test_the_callers_deadline_cancels_the_work() -> None:
    """When the caller's time is over, the servicer is cancelled and the call counted as cancelled."""
    cancelled = asyncio.Event()
    before = _count("SyncService/GetWedding", "CANCELLED")
    async with running() as it:

        async def get(_: str) -> str:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            return ""

        it.sync.get = get
        with pytest.raises(DeadlineExceeded):
            await it.call(timeout=0.2)
        await asyncio.wait_for(cancelled.wait(), 5)
        await wait_for(
            lambda: _count("SyncService/GetWedding", "CANCELLED") == before + 1, 5, "it was counted"
        )


async def test_more_calls_than_allowed_are_refused_with_a_retry_time() -> None:
    """With the only place taken the next call is told when to retry; health still answers."""
    release, entered = asyncio.Event(), asyncio.Event()
    async with running(max_calls=1) as it:

        async def get(_: str) -> str:
            entered.set()
            await release.wait()
            return "done"

        it.sync.get = get
        first = asyncio.create_task(it.call())
        await asyncio.wait_for(entered.wait(), 5)
        with pytest.raises(Overloaded) as raised:
            await it.call()
        assert raised.value.retry_after == 1.0
        assert await it.status() == "SERVING"
        release.set()
        assert await first == "done"
        assert await it.call() == "done"


async def test_more_streams_than_allowed_are_refused() -> None:
    """Streams have a limit of their own: a second one is refused while calls still get in."""
    async with running(max_streams=1) as it:
        first = it.watch()
        assert (await first.read()).sequence == 0
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await it.watch().read()
        assert isinstance(error_from_rpc(raised.value), Overloaded)
        assert await it.call() == "w1"
        first.cancel()
        await asyncio.wait_for(it.sync.ended.wait(), 5)


async def test_messages_have_a_limit_both_ways() -> None:
    """A request or an answer over 4 MiB is refused; one below it passes."""
    async with running() as it:
        assert len(await it.call("x" * (MAX_MESSAGE_BYTES - 1000))) > 4_000_000
        with pytest.raises(Overloaded, match="larger than max"):
            await it.call("x" * (MAX_MESSAGE_BYTES + 1))

        async def get(_: str) -> str:
            return "x" * (MAX_MESSAGE_BYTES + 1)

        it.sync.get = get
        with pytest.raises(WedSyncError):
            await it.call()


async def test_a_stream_ends_yields_and_fails_as_a_call_does() -> None:
    """A stream's messages arrive in order; its end and its error arrive after them."""
    async with running() as it:
        assert [m.sequence async for m in it.watch("short")] == [0, 1, 2]
        failing, seen = it.watch("unknown"), []
        with pytest.raises(grpc.aio.AioRpcError) as raised:  # noqa: PT012  # what comes before the error counts
            async for message in failing:
                seen.append(message.sequence)  # noqa: PERF401  # what came before the error counts
        assert seen == [0, 1, 2]
        assert isinstance(error_from_rpc(raised.value), UnknownWedding)


async def test_a_servicer_may_write_a_stream_by_itself() -> None:
    """A streaming method that writes to the context is served like one that yields."""
    async with running(sync=ByHand()) as it:  # type: ignore[abstract]  # as above
        assert [m.sequence async for m in it.watch()] == [7]


async def test_a_reader_learns_that_its_stream_ended_before_the_first_answer_was_out() -> None:
    """Whoever is let go because it took nothing is told so, and does not wait for ever."""
    async with running(sync=Impatient()) as it:  # type: ignore[abstract]  # as above
        stream = it.watch()
        await asyncio.wait_for(it.sync.ended.wait(), 5)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await asyncio.wait_for(_all_of(stream), 5)
        assert isinstance(error_from_rpc(raised.value), Overloaded)


async def _all_of(stream: AsyncIterable[object]) -> list[object]:
    return [message async for message in stream]


async def test_a_client_that_goes_away_ends_its_stream() -> None:
    """Cancelling a stream ends the servicer's generator."""
    async with running() as it:
        stream = it.watch()
        assert (await stream.read()).sequence == 0
        stream.cancel()
        await asyncio.wait_for(it.sync.ended.wait(), 5)


async def test_the_trace_goes_through_the_server() -> None:
    """Inside the call the current traceparent is a span of the caller's trace, and that span is recorded."""
    async with running() as it:

        async def get(_: str) -> str:
            return current_traceparent() or ""

        it.sync.get = get
        inside = await it.call(metadata=[("traceparent", _PARENT)])
        assert inside.split("-")[1] == "a" * 32
        [span] = it.spans.get_finished_spans()
        assert span.name == "SyncService/GetWedding"
        assert f"{span.context.span_id:016x}" == inside.split("-")[2]
        assert span.parent is not None
        assert f"{span.parent.span_id:016x}" == "b" * 16
        assert (await it.call()).endswith("-00")


async def test_calls_are_counted_by_outcome() -> None:
    """A call that worked and one that was refused appear in the metrics under their reasons."""
    method = "SyncService/GetWedding"
    before = _count(method, "OK"), _count(method, "UNAUTHENTICATED")
    async with running() as it:
        await it.call()
        with pytest.raises(Unauthenticated):
            await it.call(key="wrong")
    assert (_count(method, "OK"), _count(method, "UNAUTHENTICATED")) == (before[0] + 1, before[1] + 1)


async def test_outside_of_a_call_there_is_no_principal() -> None:
    """The principal ends with its call."""
    async with running() as it:
        await it.call()
        with pytest.raises(Unauthenticated):
            current_principal()


def _count(method: str, outcome: str) -> float:
    labels = {"service": "wedsync", "method": method, "outcome": outcome}
    return metrics.REGISTRY.get_sample_value("wedsync_rpc_total", labels) or 0.0
