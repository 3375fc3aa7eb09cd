"""Server-sent events through a whole gateway: live, resumable, and only for who may read."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import psutil

from tests.support.database import MigratedDatabase
from tests.support.fake_sync import FakeSync
from tests.support.gateway_process import Gateway, Secrets, built_gateway, until
from wedsync.api.sync.v1 import change_pb2
from wedsync.model.ids import new_id

Event = dict[str, str]


@asynccontextmanager
async def stream(
    gateway: Gateway, wedding_id: str, *, key: str = "studio", **more: Any
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Open a wedding's events."""
    headers = {"Authorization": f"Bearer {gateway.secrets.keys.get(key, key)}", **more.pop("headers", {})}
    timeout = aiohttp.ClientTimeout(total=20)
    url = f"{gateway.http}/api/weddings/{wedding_id}/events"
    async with (
        aiohttp.ClientSession(timeout=timeout) as browser,
        browser.get(url, headers=headers, **more) as answer,
    ):
        yield answer


async def next_event(answer: aiohttp.ClientResponse) -> Event:
    """Read one event; comments are passed by."""
    found: Event = {}
    async for raw in answer.content:
        line = raw.decode().rstrip("\r\n")
        if not line and found:
            return found
        name, colon, value = line.partition(": ")
        if name and colon:
            found[name] = value
    raise AssertionError(f"the stream ended after {found}")


async def test_edits_are_seen_live(gateway: Gateway, wedding_id: str) -> None:
    """The first event says where the stream starts; then each committed change comes with its sequence."""
    await gateway.sync.edit(wedding_id, {"title": "Before"})
    async with stream(gateway, wedding_id) as answer:
        assert answer.content_type == "text/event-stream"
        assert await next_event(answer) == {"id": "1", "event": "start", "data": "{}"}
        commit = await gateway.sync.edit(wedding_id, {"title": "Vows"})
        event = await next_event(answer)
    assert (event["id"], event["event"]) == ("2", "change")
    assert json.loads(event["data"])["changeId"] == commit.change_id


async def test_a_stream_resumes_where_it_broke(gateway: Gateway, wedding_id: str) -> None:
    """With Last-Event-ID, or `after` for who cannot send headers, nothing is missed and nothing repeated."""
    for title in ("One", "Two", "Three"):
        await gateway.sync.edit(wedding_id, {"title": title})
    ways: tuple[dict[str, Any], ...] = ({"headers": {"Last-Event-ID": "1"}}, {"params": {"after": "1"}})
    for how in ways:
        async with stream(gateway, wedding_id, **how) as answer:
            assert [(await next_event(answer))["id"] for _ in range(3)] == ["1", "2", "3"]


async def test_who_may_not_read_is_told_before_the_stream(gateway: Gateway, wedding_id: str) -> None:
    """A wrong key, an unknown wedding and a senseless sequence are problems, not streams."""
    seen = []
    for wedding, key, headers in (
        (wedding_id, "wsk_none_none", {}),
        (wedding_id, "", {}),
        (new_id(), "studio", {}),
        ("7", "studio", {}),
        (wedding_id, "studio", {"Last-Event-ID": "minus one"}),
    ):
        async with stream(gateway, wedding, key=key, headers=headers) as answer:
            seen.append((answer.status, (await answer.json(content_type=None))["code"]))
    assert seen == [
        (401, "UNAUTHENTICATED"),
        (401, "UNAUTHENTICATED"),
        (404, "UNKNOWN_WEDDING"),
        (400, "INVALID_REQUEST"),
        (400, "WRONG_TYPE"),
    ]


async def test_streams_are_bounded(
    database: MigratedDatabase, secrets: Secrets, sync: FakeSync, wedding_id: str
) -> None:
    """Beyond the limit a reader is told when to come back; a reader that leaves makes room."""
    async with built_gateway(database, secrets, sync, max_event_streams=1) as gateway:
        async with stream(gateway, wedding_id) as first:
            await next_event(first)
            async with stream(gateway, wedding_id) as second:
                assert (second.status, second.headers["Retry-After"]) == (429, "5")
        await until(lambda: _opens(gateway, wedding_id), "the place is free again")


async def _opens(gateway: Gateway, wedding_id: str) -> bool:
    async with stream(gateway, wedding_id) as answer:
        return answer.status == 200


async def test_five_hundred_readers_see_every_change(
    database: MigratedDatabase, secrets: Secrets, sync: FakeSync, wedding_id: str
) -> None:
    """As many readers as there are places: each sees each change once, and all places are free again."""
    readers = 500
    async with built_gateway(database, secrets, sync, max_event_streams=readers) as gateway:
        async with _browser() as browser, AsyncExitStack() as stack:
            answers = [
                await stack.enter_async_context(_open(browser, gateway, wedding_id)) for _ in range(readers)
            ]
            await asyncio.gather(*map(next_event, answers))
            async with _open(browser, gateway, wedding_id) as one_too_many:
                assert one_too_many.status == 429
            for title in ("One", "Two", "Three"):
                await sync.edit(wedding_id, {"title": title})
            seen = [[(await next_event(answer))["id"] for _ in range(3)] for answer in answers]
            assert seen == [["1", "2", "3"]] * readers
        await until(lambda: _opens(gateway, wedding_id), "a place is free again")


async def test_a_reader_that_takes_nothing_is_let_go(
    database: MigratedDatabase, secrets: Secrets, sync: FakeSync, wedding_id: str
) -> None:
    """After its time its place is free and its connection cut, and the others were not held up."""
    for sequence in range(1, 201):
        sync.log.append(change_pb2.LoggedChange(sequence=sequence, change_id="x" * 100_000))
    limits = {"max_event_streams": 2, "slow_reader_seconds": 0.5}
    async with built_gateway(database, secrets, sync, **limits) as gateway:
        with _reader_that_takes_nothing(gateway, wedding_id) as connection:
            async with stream(gateway, wedding_id, params={"after": "190"}) as quick:
                assert [(await next_event(quick))["id"] for _ in range(11)][-1] == "200"
                await until(lambda: _opens(gateway, wedding_id), "the slow reader's place is free")
            await until(lambda: _is_cut(connection), "the slow reader's connection is cut")


@contextmanager
def _reader_that_takes_nothing(gateway: Gateway, wedding_id: str) -> Iterator[socket.socket]:
    host, _, port = gateway.http.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as connection:
        key = gateway.secrets.keys["studio"]
        request = f"GET /api/weddings/{wedding_id}/events?after=0 HTTP/1.1\r\nHost: {host}\r\n"
        connection.sendall(f"{request}Authorization: Bearer {key}\r\n\r\n".encode())
        yield connection


def _is_cut(connection: socket.socket) -> bool:
    """Say whether the gateway, which is in this process, has let go of its end."""
    ours = connection.getsockname()
    return all(end.raddr != ours for end in psutil.Process().net_connections("tcp"))


@asynccontextmanager
async def _browser() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as browser:
        yield browser


def _open(browser: aiohttp.ClientSession, gateway: Gateway, wedding_id: str) -> Any:
    headers = {"Authorization": f"Bearer {gateway.secrets.keys['studio']}"}
    return browser.get(f"{gateway.http}/api/weddings/{wedding_id}/events", headers=headers)
