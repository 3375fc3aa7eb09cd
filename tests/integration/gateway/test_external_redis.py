"""Hints through Redis as Debian installs it; collected only where it is installed."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from tests.support.external_servers import external_redis
from wedsync.runtime.hints import Hints


async def test_a_hint_goes_through_redis() -> None:
    """What one process publishes reaches another that listens, on the installed Redis."""
    with external_redis() as url:
        sender, receiver = Hints(url), Hints(url)
        async with aclosing(receiver.subscribe("weddings")) as heard, asyncio.timeout(20):
            hint = asyncio.ensure_future(anext(heard))
            while not hint.done():
                sender.publish("weddings", b"w1")
                await asyncio.wait([hint], timeout=0.05)
            assert hint.result() == b"w1"
        await sender.aclose()
        await receiver.aclose()
