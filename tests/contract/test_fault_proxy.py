"""The proxy that plays faults before a server, against real sockets."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from wedsync.testing.faults import Answer, Asked, Fault, FaultProxy, asks, http_date, rewriting

_LIMIT = aiohttp.ClientTimeout(total=0.3)


class Server:
    """A server that says back what it was told, and remembers it."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer with the request's line, host and body."""
        body = await request.read()
        self.got.append(body)
        said = f"{request.method} {request.raw_path} {request.host} ".encode() + body
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=gzip.compress(said), headers={"Content-Encoding": "gzip"})
        return web.Response(body=said, headers={"X-Said": "yes"}, status=201)


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, FaultProxy]]:
    """The server, and the proxy before it."""
    server = Server()
    runner = web.ServerRunner(web.Server(server.answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with FaultProxy(f"http://127.0.0.1:{runner.addresses[0][1]}").running() as proxy:
        yield server, proxy
    await runner.cleanup()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """Whoever calls."""
    async with aiohttp.ClientSession() as session:
        yield session


async def said(client: aiohttp.ClientSession, proxy: FaultProxy, body: bytes = b"") -> tuple[int, bytes]:
    """Post something; return status and body of the answer."""
    async with client.post(f"{proxy.url}/a", data=body, timeout=_LIMIT) as answer:
        return answer.status, await answer.read()


async def test_without_a_fault_everything_passes_as_it_is(
    server: tuple[Server, FaultProxy], client: aiohttp.ClientSession
) -> None:
    """Method, path, query, host, body, status and headers reach the other side unchanged, and unpacked."""
    _, proxy = server
    url = f"{proxy.url}/a%2Fb/c?x=%20y"
    async with client.request("REPORT", URL(url, encoded=True), data=b"<x/>") as answer:
        host = proxy.url.removeprefix("http://")
        assert await answer.read() == f"REPORT /a%2Fb/c?x=%20y {host} <x/>".encode()
        assert (answer.status, answer.headers["X-Said"]) == (201, "yes")
    [asked] = proxy.script.asked
    assert (asked.status, asked.said) == (201, 201)
    assert proxy.before(f"{proxy.server}/a/b?c") == f"{proxy.url}/a/b?c"


async def test_an_answer_can_be_replaced_before_or_after_the_request_was_carried_out(
    server: tuple[Server, FaultProxy], client: aiohttp.ClientSession
) -> None:
    """The server gets the request only where the fault says that it is carried out."""
    origin, proxy = server
    busy = Answer(status=429, headers={"retry-after": "7"}, body=b"busy")
    proxy.script.add(Fault(instead=busy), Fault(instead=busy, carried_out=True))
    assert [await said(client, proxy, b"1"), await said(client, proxy, b"2")] == [(429, b"busy")] * 2
    assert origin.got == [b"2"]
    assert [asked.said for asked in proxy.script.asked] == [0, 201]
    assert (await said(client, proxy, b"3"))[0] == 201


async def test_connections_are_reset_and_answers_kept_for_ever(
    server: tuple[Server, FaultProxy], client: aiohttp.ClientSession
) -> None:
    """A caller meets a reset or its own time-out; what was to be carried out is."""
    origin, proxy = server
    proxy.script.add(Fault(cut=True), Fault(cut=True, carried_out=True), Fault(silent=True, carried_out=True))
    for body in (b"1", b"2"):
        with pytest.raises(aiohttp.ClientError):
            await said(client, proxy, body)
    with pytest.raises(TimeoutError):
        await said(client, proxy, b"3")
    assert origin.got == [b"2", b"3"]


async def test_a_fault_meets_the_requests_it_is_for(
    server: tuple[Server, FaultProxy], client: aiohttp.ClientSession
) -> None:
    """By method, path and number: others pass, and so do those after it is used up."""
    _, proxy = server
    no = Answer(status=503)
    proxy.script.add(Fault(on=asks("POST", r"^/a$"), skip=1, times=2, instead=no))
    statuses = [(await said(client, proxy))[0] for _ in range(4)]
    async with client.get(f"{proxy.url}/a") as answer:
        statuses.append(answer.status)
    assert statuses == [201, 503, 503, 201, 201]


async def test_bodies_are_changed_both_ways(
    server: tuple[Server, FaultProxy], client: aiohttp.ClientSession
) -> None:
    """The server keeps what the request was turned into; the caller sees what the answer was turned into."""
    origin, proxy = server
    plain = Answer(status=200, body=b"changed")
    proxy.script.add(Fault(request=rewriting({"vows": "VOWS", "a": "b", "b": "a"}), answer=lambda *_: plain))
    assert await said(client, proxy, b"a b vows") == (200, b"changed")
    assert origin.got == [b"b a VOWS"]


async def test_requests_are_repeated_and_kept_back(
    server: tuple[Server, FaultProxy], client: aiohttp.ClientSession
) -> None:
    """What is kept back is answered at once, and reaches the server when and in the order it is released."""
    origin, proxy = server
    proxy.script.add(Fault(kept_back=True, times=2), Fault(copies=3))
    assert [(await said(client, proxy, body))[0] for body in (b"1", b"2", b"3")] == [202, 202, 201]
    assert origin.got == [b"3", b"3", b"3"]
    assert await proxy.release(proxy.kept_back[::-1]) == [201, 201]
    assert origin.got[3:] == [b"2", b"1"]
    assert proxy.kept_back == []


async def test_answers_state_the_time_of_a_skewed_clock(
    server: tuple[Server, FaultProxy], client: aiohttp.ClientSession
) -> None:
    """The Date of every answer, the script's own too, is ahead by the skew."""
    _, proxy = server
    proxy.script.skew = timedelta(hours=1)
    proxy.script.add(Fault(instead=Answer(status=500)))
    for _ in range(2):
        async with client.get(proxy.url) as answer:
            stated = parsedate_to_datetime(answer.headers["Date"])
        ahead = stated - datetime.now(UTC)  # noqa: TID251 - the server's clock is the machine's
        assert abs(ahead - timedelta(hours=1)) < timedelta(seconds=30)


def test_a_moment_is_stated_as_http_does() -> None:
    """Whole seconds, in English, in GMT."""
    moment = datetime(2027, 6, 12, 15, 0, 0, 999_999, tzinfo=UTC)
    assert http_date(moment) == "Sat, 12 Jun 2027 15:00:00 GMT"


def test_what_was_asked_shows_no_headers() -> None:
    """Headers hold credentials, so what describes a request in a failing test leaves them out."""
    assert "secret" not in repr(Asked(method="GET", path="/", headers={"Authorization": "secret"}))


async def test_what_the_server_says_is_heard_and_its_absence_is_answered(
    server: tuple[Server, FaultProxy], client: aiohttp.ClientSession
) -> None:
    """Each answer of the server is told to whoever listens; where nobody serves, callers get 502."""
    heard: list[tuple[str, int]] = []
    origin = server[1].server

    def note(asked: Asked, answer: Answer) -> None:
        heard.append((asked.path, answer.status))

    async with FaultProxy(origin, heard=note).running() as proxy:
        assert (await said(client, proxy))[0] == 201
        proxy.script.add(Fault(kept_back=True))
        assert (await said(client, proxy))[0] == 202
        assert heard == [("/a", 201)]
        assert await proxy.release() == [201]
        proxy.server = "http://127.0.0.1:9"
        assert (await said(client, proxy))[0] == 502
    assert heard == [("/a", 201)] * 2
