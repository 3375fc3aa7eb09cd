"""The Tave simulator over a socket: keys, bodies, rest hooks, faults, and what it counts."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from wedsync.clock import SystemClock
from wedsync.testing.tave import READ_ONLY_KEY, SANDBOX_KEY, Sandbox, TaveStudio, running
from wedsync.testing.tave.quota import Quota

HOOK_ATTEMPTS = 4
KEY = {"X-API-KEY": SANDBOX_KEY}


class Subscriber:
    """A web server that takes rest hooks, and first refuses some."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.refuse = 0
        self.refused_all = asyncio.Event()

    async def take(self, request: web.Request) -> web.Response:
        """Take one hook."""
        if self.refuse:
            self.refuse -= 1
            if not self.refuse:
                self.refused_all.set()
            return web.Response(status=500)
        self.received.put_nowait(await request.json())
        return web.Response()

    async def next(self) -> dict[str, Any]:
        """The next hook taken."""
        return await asyncio.wait_for(self.received.get(), 10)


@pytest.fixture(name="sandbox")
def _sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(TaveStudio(SystemClock()), tmp_path / "tave.json")


@pytest.fixture(name="url")
async def _url(sandbox: Sandbox) -> AsyncIterator[str]:
    async with running(sandbox) as url:
        yield url


@pytest.fixture(name="client")
async def _client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture(name="subscriber")
async def _subscriber() -> AsyncIterator[tuple[Subscriber, str]]:
    subscriber, app = Subscriber(), web.Application()
    app.router.add_post("/hook", subscriber.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield subscriber, f"http://127.0.0.1:{port}/hook"
    await runner.cleanup()


async def status(client: aiohttp.ClientSession, method: str, url: str, **options: Any) -> int:
    """The status of one request's answer."""
    async with client.request(method, url, **{"headers": KEY, **options}) as answer:
        await answer.read()
        return answer.status


async def post(client: aiohttp.ClientSession, url: str, body: Any) -> dict[str, Any]:
    """Create something."""
    async with client.post(url, json=body, headers=KEY) as answer:
        assert answer.status == 201, await answer.text()
        return dict(await answer.json())


async def test_every_call_needs_a_key(client: aiohttp.ClientSession, url: str) -> None:
    """Both headers carry a key; none or a wrong one is 401; a read-only key may not write."""
    tried = [
        ({}, 401),
        ({"X-API-KEY": "wrong"}, 401),
        ({"Authorization": f"Basic {SANDBOX_KEY}"}, 401),
        ({"Authorization": f"Bearer {SANDBOX_KEY}"}, 200),
        ({"X-API-KEY": READ_ONLY_KEY}, 200),
    ]
    for headers, expected in tried:
        assert await status(client, "GET", f"{url}/studio/me", headers=headers) == expected
    read_only = {"X-API-KEY": READ_ONLY_KEY}
    assert await status(client, "POST", f"{url}/event", json={}, headers=read_only) == 403


async def test_a_body_must_be_json(client: aiohttp.ClientSession, url: str) -> None:
    """Garbage, another content type and an enormous body are validation errors."""
    as_json = {**KEY, "Content-Type": "application/json"}
    assert await status(client, "POST", f"{url}/event", data=b"{", headers=as_json) == 400
    assert await status(client, "POST", f"{url}/event", data=b"{}") == 400
    huge = io.BytesIO(json.dumps({"name": "x" * 3_000_000}).encode())
    assert await status(client, "POST", f"{url}/event", data=huge, headers=as_json) == 400
    assert await status(client, "GET", f"{url}/order") == 404
    assert await status(client, "GET", f"{url}/timezone?search=stock") == 200


@pytest.mark.parametrize("body", ["resource", "target"])
async def test_a_hook_reaches_its_subscriber(
    client: aiohttp.ClientSession, sandbox: Sandbox, url: str, subscriber: tuple[Subscriber, str], body: str
) -> None:
    """A subscriber hears of births it asked for, after a refusal too; whole or thin as the studio is set."""
    sandbox.hook_body = body
    taker, address = subscriber
    limit = {"contactKinds": ["person"]}
    await post(client, f"{url}/rest-hook", {"event": "contact.created", "url": address, "limitTo": limit})
    await post(client, f"{url}/rest-hook", {"event": "order.booked", "url": address})
    taker.refuse = 1
    await post(client, f"{url}/address-book", {"kind": "location", "name": "Barn"})
    person = await post(client, f"{url}/address-book", {"kind": "person", "firstName": "Ana"})
    assert await taker.next() == (person if body == "resource" else {"targetId": person["id"]})
    job = await post(client, f"{url}/job", {"name": "Wedding"})
    order = await post(client, url.replace("/api/v2", f"/_sandbox/job/{job['id']}/book-order"), {})
    heard = await taker.next()
    assert heard.get("id", heard.get("targetId")) == order["id"]
    assert taker.received.empty()


async def test_hooks_nobody_takes_are_given_up(
    client: aiohttp.ClientSession, url: str, subscriber: tuple[Subscriber, str]
) -> None:
    """A subscriber that is not there or always refuses is tried a few times, and holds nothing up."""
    taker, address = subscriber
    with socket.create_server(("127.0.0.1", 0)) as unused:
        dead = f"http://127.0.0.1:{unused.getsockname()[1]}/gone"
    taker.refuse = HOOK_ATTEMPTS
    for hook in (address, dead):
        await post(client, f"{url}/rest-hook", {"event": "job.created", "url": hook})
    await post(client, f"{url}/job", {"name": "Wedding"})
    await asyncio.wait_for(taker.refused_all.wait(), 10)
    assert await status(client, "GET", f"{url}/studio/me") == 200
    assert taker.received.empty()


async def test_a_hook_under_way_does_not_hold_up_the_end(
    client: aiohttp.ClientSession, sandbox: Sandbox
) -> None:
    """A subscriber that never answers is abandoned when the simulator stops."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        async with asyncio.timeout(4), running(sandbox) as url:
            address = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
            await post(client, f"{url}/rest-hook", {"event": "job.created", "url": address})
            await post(client, f"{url}/job", {"name": "Wedding"})


async def test_faults_and_counts_are_steered_from_outside(client: aiohttp.ClientSession, url: str) -> None:
    """A fault shows as told; the counts tell reads from writes by template; a reset forgets all."""
    control = url.replace("/api/v2", "/_sandbox")
    await post(
        client, f"{control}/faults", {"method": "GET", "path": "/studio", "status": 503, "retry_after": 3}
    )
    await post(client, f"{control}/faults", {"method": "GET", "path": "/event", "delay_ms": 5})
    assert await status(client, "GET", f"{url}/studio/me") == 503
    assert await status(client, "GET", f"{url}/event") == 200
    event = await post(client, f"{url}/event", {"name": "x"})
    assert await status(client, "GET", f"{url}/event/{event['id']}") == 200
    await post(client, f"{control}/faults", {"method": "DELETE", "drop": True, "apply": True})
    with pytest.raises(aiohttp.ClientPayloadError):
        await status(client, "DELETE", f"{url}/event/{event['id']}")
    assert await status(client, "GET", f"{url}/event/{event['id']}") == 404
    async with client.get(f"{control}/requests") as answer:
        seen = await answer.json()
    assert (seen["reads"], seen["writes"]) == (4, 2)
    assert seen["by"]["GET /event/{id}"] == 2
    assert seen["recent"][-2] == {"method": "DELETE", "path": f"/event/{event['id']}", "status": 0}
    assert await status(client, "POST", f"{control}/faults", json={"status": 1}) == 400
    assert await status(client, "POST", f"{control}/reset") == 204
    async with client.delete(f"{control}/requests") as answer:
        assert (await answer.json())["recent"] == []


async def test_a_quota_answers_429(client: aiohttp.ClientSession, sandbox: Sandbox, url: str) -> None:
    """Beyond the quota the answer is 429 with Retry-After and the vendor's error type."""
    sandbox.quota = Quota(limit=1)
    assert await status(client, "GET", f"{url}/studio/me") == 200
    async with client.get(f"{url}/studio/me", headers=KEY) as answer:
        assert (answer.status, (await answer.json())["type"]) == (429, "quota-limit")
        assert 1 <= int(answer.headers["Retry-After"]) <= 60


async def test_the_command_keeps_its_studio_across_restarts(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """`python -m wedsync.testing.tave` serves until SIGTERM, and started again it remembers."""
    data, created = tmp_path / "studio.json", ""
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wedsync.testing.tave", "--port", str(port), "--data", str(data)),
            *("--read-only-key", "look"),
        )
        try:
            url = f"http://127.0.0.1:{port}/api/v2"
            await _answering(client, f"{url}/studio/me")
            if created:
                assert await status(client, "GET", f"{url}/job/{created}") == 200
            created = (await post(client, f"{url}/job", {"name": "Wedding"}))["id"]
        finally:
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 10)


async def _answering(client: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                assert await status(client, "GET", url, headers={"X-API-KEY": "look"}) == 200
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
            else:
                return
