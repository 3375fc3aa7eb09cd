"""The door for outbound HTTP against real sockets: what it returns, raises, bounds and never does."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from services.gateway.vendor_http import Limits, VendorHttp
from services.gateway.vendors.port import VendorAuthFailed, VendorGarbage, VendorRejected, VendorUnavailable

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass
class Server:
    """A server whose answers the test decides, and the requests it saw."""

    url: str
    handler: Handler
    seen: list[web.BaseRequest] = field(default_factory=list)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server on this machine that answers 200 until told otherwise."""
    running = Server(url="", handler=_status(200))

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        running.seen.append(request)
        return await running.handler(request)

    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    running.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield running
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[VendorHttp]:
    """The door, open to this machine, with short limits."""
    limits = Limits(allow_private=True, timeout_seconds=5, max_response_bytes=10_000)
    async with VendorHttp(limits=limits) as door:
        yield door


@pytest.fixture
async def raw_server() -> AsyncIterator[Callable[[bytes], Awaitable[str]]]:
    """Start servers that answer each connection with given bytes, and close it."""
    servers = list[asyncio.Server]()

    async def start(answer: bytes) -> str:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            writer.close()

        servers.append(await asyncio.start_server(serve, "127.0.0.1", 0))
        return f"http://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}/"

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


def _status(status: int, **headers: str) -> Handler:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, headers=headers)

    return answer


async def test_an_answer_is_status_headers_and_body(server: Server, http: VendorHttp) -> None:
    """Method, headers and body arrive as given; the answer comes back with lower-case header names."""

    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        return web.Response(body=body, headers=[("X-Two", "a"), ("X-Two", "b"), ("ETag", '"1"')])

    server.handler = echo
    response = await http.request("REPORT", server.url, headers={"X-Key": "k"}, body=b"<x/>")
    assert (response.status, response.body) == (200, b"<x/>")
    assert (response.headers["etag"], response.headers["x-two"]) == ('"1"', "a, b")
    assert (server.seen[0].method, server.seen[0].headers["X-Key"]) == ("REPORT", "k")


async def test_redirects_are_answers(server: Server, http: VendorHttp) -> None:
    """A redirect is returned and not followed, so no credentials follow it."""
    server.handler = _status(302, Location="http://127.0.0.1:1/")
    response = await http.request("POST", server.url)
    assert (response.status, response.headers["location"]) == (302, "http://127.0.0.1:1/")
    assert len(server.seen) == 1


async def test_nothing_of_ours_travels_along(server: Server, http: VendorHttp) -> None:
    """No trace context, and cookies are neither kept nor sent."""
    server.handler = _status(200, **{"Set-Cookie": "session=1"})
    await http.request("GET", server.url)
    await http.request("GET", server.url)
    for request in server.seen:
        assert not {"traceparent", "tracestate", "baggage", "Cookie"} & set(request.headers)


@pytest.mark.parametrize("status", [401, 403])
async def test_refused_credentials_say_reconnect(server: Server, http: VendorHttp, status: int) -> None:
    """401 and 403 are authentication failures, unless the caller asks for them."""
    server.handler = _status(status)
    with pytest.raises(VendorAuthFailed, match="reconnect"):
        await http.request("GET", server.url)
    assert (await http.request("GET", server.url, returns=frozenset({status}))).status == status


@pytest.mark.parametrize(
    ("method", "status", "unknown"),
    [("PUT", 429, False), ("PUT", 503, False), ("PUT", 500, True), ("POST", 502, True), ("GET", 504, False)],
)
async def test_busy_and_broken_vendors_are_transient(
    server: Server, http: VendorHttp, method: str, status: int, unknown: bool
) -> None:
    """429 and 5xx carry the time to wait, and say whether a write may have been carried out."""
    server.handler = _status(status, **{"Retry-After": "7"})
    with pytest.raises(VendorUnavailable) as caught:
        await http.request(method, server.url)
    assert (caught.value.retry_after, caught.value.unknown_outcome) == (7, unknown)


@pytest.mark.parametrize(("method", "unknown"), [("PUT", True), ("REPORT", False)])
async def test_silence_ends_at_the_limit(
    server: Server, http: VendorHttp, method: str, unknown: bool
) -> None:
    """A vendor that does not answer in time is transient; of a write the outcome is unknown."""
    release = asyncio.Event()

    async def wait(_: web.BaseRequest) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    server.handler = wait
    with pytest.raises(VendorUnavailable, match="did not answer in time") as caught:
        await http.request(method, server.url, timeout=0.2)
    release.set()
    assert caught.value.unknown_outcome is unknown


async def test_a_vendor_that_cannot_be_reached_did_nothing(http: VendorHttp) -> None:
    """A refused connection is transient, and the write is known not to have happened."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(VendorUnavailable, match="cannot be reached") as caught:
            await http.request("PUT", f"http://127.0.0.1:{unused.getsockname()[1]}/")
    assert not caught.value.unknown_outcome


async def test_a_connection_lost_in_mid_answer_leaves_the_outcome_open(
    http: VendorHttp, raw_server: Callable[[bytes], Awaitable[str]]
) -> None:
    """When the vendor hangs up before or in its answer, a write may have happened."""
    for answer in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"):
        with pytest.raises(VendorUnavailable) as caught:
            await http.request("POST", await raw_server(answer))
        assert caught.value.unknown_outcome


async def test_what_is_not_http_is_garbage(
    http: VendorHttp, raw_server: Callable[[bytes], Awaitable[str]]
) -> None:
    """An answer in another protocol is garbage, not an outage."""
    with pytest.raises(VendorGarbage):
        await http.request("GET", await raw_server(b"220 smtp.example ESMTP\r\n\r\n"))


@pytest.mark.parametrize("compressed", [False, True])
async def test_an_answer_has_a_bound(server: Server, http: VendorHttp, compressed: bool) -> None:
    """An answer larger than the limit is refused, also one that only becomes large when unpacked."""
    body = b"a" * 1_000_000

    async def large(_: web.BaseRequest) -> web.StreamResponse:
        if compressed:
            return web.Response(body=gzip.compress(body), headers={"Content-Encoding": "gzip"})
        return web.Response(body=body)

    server.handler = large
    with pytest.raises(VendorGarbage, match="larger than 10000 bytes"):
        await http.request("GET", server.url)


async def test_calls_to_one_host_are_bounded(server: Server) -> None:
    """No more connections than allowed are open to one host at once; the rest wait their turn."""
    running, most = 0, 0

    async def count(_: web.BaseRequest) -> web.StreamResponse:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return web.Response()

    server.handler = count
    async with VendorHttp(limits=Limits(allow_private=True, connections_per_host=3)) as http:
        await asyncio.gather(*(http.request("GET", server.url) for _ in range(12)))
    assert most == 3


async def test_every_call_is_observed_and_surrounded(server: Server) -> None:
    """The hooks are told method, host, status and time, answered or not, and surround the call."""
    observed, around = list[tuple[str, str, int]](), list[str]()

    def observe(method: str, host: str, status: int, seconds: float) -> None:
        assert seconds > 0
        observed.append((method, host, status))

    @asynccontextmanager
    async def span(method: str, host: str) -> AsyncIterator[None]:
        around.append(f"enter {method} {host}")
        try:
            yield
        finally:
            around.append("exit")

    server.handler = _status(500)
    async with VendorHttp(limits=Limits(allow_private=True), observe=observe, around=span) as http:
        with pytest.raises(VendorUnavailable):
            await http.request("GET", server.url)
        with pytest.raises(VendorUnavailable):
            await http.request("PUT", "http://127.0.0.1:1/")
    assert observed == [("GET", "127.0.0.1", 500), ("PUT", "127.0.0.1", 0)]
    assert around == ["enter GET 127.0.0.1", "exit", "enter PUT 127.0.0.1", "exit"]


async def test_a_name_that_leads_to_this_machine_is_refused() -> None:
    """In production a name is checked when it is connected to, by what it resolves to."""
    async with VendorHttp() as http:
        with pytest.raises(VendorRejected, match="localhost is not a public address"):
            await http.request("GET", "https://localhost:1/")


async def test_a_name_that_nobody_knows_cannot_be_reached(http: VendorHttp) -> None:
    """A name that does not resolve is transient: name servers fail."""
    with pytest.raises(VendorUnavailable, match="cannot be reached"):
        await http.request("GET", "http://does-not-exist.invalid/")


async def test_a_closed_door_opens_again(server: Server, http: VendorHttp) -> None:
    """Closing lets go of the connections, and a later call works."""
    await http.request("GET", server.url)
    await http.aclose()
    await http.aclose()
    assert (await http.request("GET", server.url)).status == 200
