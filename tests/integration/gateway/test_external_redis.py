"""Hints through Redis as Debian installs it; collected only where it is installed."""

from __future__ import annotations

import asyncio

from tests.support.external_servers import external_redis
from wedsync.runtime.hints import Hints


async def test_a_hint_goes_through_redis() -> None:
    """What one process publishes reaches another that listens, on the installed Redis."""
    with external_redis() as url:
        sender, receiver = Hints(url), Hints(url)
        hint = asyncio.ensure_future(anext(receiver.subscribe("weddings")))
        async with asyncio.timeout(20):
            while not hint.done():
                sender.publish("weddings", b"w1")
                await asyncio.wait([hint], timeout=0.05)
        assert await hint == b"w1"
        await sender.aclose()
        await receiver.aclose()
