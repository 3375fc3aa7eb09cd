"""The client of the sync service: proposals, results, and a watch that goes on."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from tests.unit.client.channels import FakeChannel, as_rpc_error
from wedsync.api.sync.v1 import change_pb2, service_pb2, wedding_pb2
from wedsync.client import CALLER, SyncClient, wedding_message
from wedsync.client.resume import LONGEST_PAUSE, MAX_FAILURES, Resume
from wedsync.clock import FakeClock
from wedsync.errors import AlreadyExists, NotFound, Overloaded, Unavailable, UnknownWedding
from wedsync.model.changes import Change, ChangeKind, Outcome, Source
from wedsync.model.ids import is_id, new_id
from wedsync.model.items import ItemKind

VENDOR = Source(organization_id="studio", actor="i1", link_id="l1", vendor="tave", record_id="r1")


def a_change(source: Source = CALLER) -> Change:
    """Return the creation of an event."""
    return Change(
        change_id=new_id(),
        item_id=new_id(),
        item_kind=ItemKind.TIMELINE_EVENT,
        kind=ChangeKind.CREATE,
        source=source,
        values={"title": "First dance"},
    )


def logged(sequence: int) -> service_pb2.WatchWeddingResponse:
    """Return an entry of the log, as a watch brings it."""
    return service_pb2.WatchWeddingResponse(
        change=change_pb2.LoggedChange(sequence=sequence), sequence=sequence
    )


def started(sequence: int) -> service_pb2.WatchWeddingResponse:
    """Return a watch's first message."""
    return service_pb2.WatchWeddingResponse(sequence=sequence)


async def test_changes_go_out_and_results_come_back() -> None:
    """Changes are sent in order and each result is returned as a model value."""
    changes = [a_change(), a_change(VENDOR)]
    result = change_pb2.ChangeResult(
        change_id=changes[0].change_id, outcome=change_pb2.OUTCOME_APPLIED, sequence=4
    )
    channel = FakeChannel.answering(service_pb2.ApplyChangesResponse(results=[result]))
    [found] = await SyncClient(channel.grpc).apply_changes("w", changes, timeout=2.0)
    assert (found.outcome, found.sequence) == (Outcome.APPLIED, 4)
    sent = channel.calls[0].request
    assert (sent.wedding_id, [c.change_id for c in sent.changes]) == ("w", [c.change_id for c in changes])
    assert channel.calls[0].timeout == 2.0


async def test_only_a_vendors_change_names_its_source() -> None:
    """A caller's own change carries no source, because the service reads it from the key."""
    channel = FakeChannel.answering(service_pb2.ApplyChangesResponse())
    own = Source(organization_id="studio", actor="ada")
    await SyncClient(channel.grpc).apply_changes("w", [a_change(own), a_change(VENDOR)])
    mine, vendors = channel.calls[0].request.changes
    assert not mine.HasField("source")
    assert vendors.source.link_id == "l1"


async def test_a_new_wedding_has_an_id_before_it_is_sent() -> None:
    """A retry of a creation names the same wedding, because the client chose its id."""
    channel = FakeChannel.answering(wedding_pb2.Wedding(), wedding_pb2.Wedding())
    client, unnamed = SyncClient(channel.grpc), wedding_pb2.Wedding(title="Ada & Grace")
    await client.create_wedding(unnamed)
    named = wedding_message("Ada & Grace", "2027-06-12", "Europe/Paris")
    await client.create_wedding(named)
    assert is_id(channel.calls[0].request.wedding.wedding_id)
    assert unnamed.wedding_id == ""
    assert channel.calls[1].request.wedding == named
    assert (named.date.year, named.date.month, named.date.day) == (2027, 6, 12)
    assert wedding_message("A", "2027-06-12", "Europe/Paris", wedding_id="mine").wedding_id == "mine"


async def test_creating_over_another_wedding_is_refused() -> None:
    """ALREADY_EXISTS is restored."""
    channel = FakeChannel.answering(as_rpc_error(AlreadyExists()))
    with pytest.raises(AlreadyExists):
        await SyncClient(channel.grpc).create_wedding(wedding_pb2.Wedding())


async def watched(client: SyncClient, clock: FakeClock, after: int | None = None) -> list[int]:
    """Return the sequences a watch brought until it ended, moving the clock whenever it sleeps."""
    seen: list[int] = []

    async def read() -> None:
        async for message in client.watch_wedding("w", after):
            seen.append(message.sequence)  # noqa: PERF401  # kept also if the watch raises

    task = asyncio.create_task(read())
    try:
        while not task.done():
            clock.advance(LONGEST_PAUSE / 2)
            await asyncio.sleep(0)
        await task
    finally:
        task.cancel()
    return seen


async def test_a_watch_goes_on_where_it_broke() -> None:
    """After UNAVAILABLE the stream is opened again after the last sequence, without gap or repeat."""
    clock = FakeClock()
    channel = FakeChannel.answering(
        [started(2), logged(3), logged(4), as_rpc_error(Unavailable())],
        [as_rpc_error(Unavailable())],
        [started(4), logged(4), logged(5)],
    )
    assert await watched(SyncClient(channel.grpc, clock=clock), clock, 2) == [2, 3, 4, 5]
    assert [call.request.after_sequence for call in channel.calls] == [2, 4, 4]
    assert all(call.cancelled for call in channel.calls)


async def test_a_watch_from_now_on_keeps_its_start() -> None:
    """Where the first stream began is where the next goes on, even if nothing was logged in between."""
    clock = FakeClock()
    channel = FakeChannel.answering([started(7), as_rpc_error(Unavailable())], [started(7), logged(8)])
    assert await watched(SyncClient(channel.grpc, clock=clock), clock) == [7, 8]
    first, second = [call.request for call in channel.calls]
    assert not first.HasField("after_sequence")
    assert second.after_sequence == 7


async def test_a_watch_of_an_unknown_wedding_ends() -> None:
    """What no retry mends is raised at once."""
    clock = FakeClock()
    channel = FakeChannel.answering([as_rpc_error(UnknownWedding())])
    with pytest.raises(UnknownWedding):
        await watched(SyncClient(channel.grpc, clock=clock), clock)
    assert len(channel.calls) == 1


async def test_a_watch_gives_up_in_the_end() -> None:
    """After a bounded number of tries in a row that brought nothing the error is raised."""
    clock = FakeClock()
    channel = FakeChannel.answering(*[[as_rpc_error(Unavailable())]] * (MAX_FAILURES + 5))
    with pytest.raises(Unavailable):
        await watched(SyncClient(channel.grpc, clock=clock), clock)
    assert len(channel.calls) == MAX_FAILURES


async def test_a_watch_may_be_told_not_to_resume() -> None:
    """With resume off the first error is raised; the timeout given is the stream's."""
    channel = FakeChannel.answering([logged(1), as_rpc_error(Overloaded())])
    messages = SyncClient(channel.grpc).watch_wedding("w", 0, resume=False, timeout=9.0)
    assert (await anext(messages)).sequence == 1
    with pytest.raises(Overloaded):
        await anext(messages)
    assert channel.calls[0].timeout == 9.0


async def test_leaving_a_watch_cancels_its_stream() -> None:
    """A reader who stops early leaves no stream open."""
    channel = FakeChannel.answering([logged(1), logged(2)])
    async with aclosing(SyncClient(channel.grpc).watch_wedding("w", 0)) as messages:
        async for _ in messages:
            break
    assert channel.calls[0].cancelled


def test_pauses_grow_with_a_limit_and_chance() -> None:
    """Pauses double up to their limit, at least half of each is kept, and a server's own wish is obeyed."""
    lowest, highest = Resume(0, jitter=lambda: 0.0), Resume(0, jitter=lambda: 1.0)
    low = [lowest.pause(Unavailable(), lived=0) for _ in range(MAX_FAILURES - 1)]
    high = [highest.pause(Unavailable(), lived=0) for _ in range(MAX_FAILURES - 1)]
    assert high[:3] == [0.1, 0.2, 0.4]
    assert max(high) == LONGEST_PAUSE
    assert low == [pause / 2 for pause in high]
    assert Resume(0).pause(Overloaded(retry_after=42.0), lived=0) == 42.0


def test_a_stream_that_lived_is_no_failure_in_a_row() -> None:
    """A quiet stream that broke after a while starts the count anew, and so does an entry of the log."""
    quiet, busy = Resume(0, jitter=lambda: 1.0), Resume(0, jitter=lambda: 1.0)
    for sequence in range(1, 3 * MAX_FAILURES):
        assert quiet.pause(Unavailable(), lived=LONGEST_PAUSE + 1) == 0.1
        assert busy.is_new(sequence, logged=True)
        assert busy.pause(Unavailable(), lived=0) == 0.1
    with pytest.raises(NotFound):
        quiet.pause(NotFound(), lived=100)
