"""Hints without any Redis: nothing fails, nothing waits, nothing grows."""

from __future__ import annotations

import asyncio

from pydantic import SecretStr

from wedsync.runtime import hints as module
from wedsync.runtime.hints import Hints


async def test_without_a_url_publishing_is_a_no_op_and_subscribers_wait_quietly() -> None:
    """Publishing returns, a subscriber hears nothing, and closing ends it."""
    hints = Hints(None)
    hints.publish("wedding:1", b"look")
    heard: list[bytes] = []

    async def listen() -> None:
        async for payload in hints.subscribe("wedding:1"):
            heard.append(payload)  # noqa: PERF401  # the comprehension would lose what came before a failure

    task = asyncio.create_task(listen())
    await asyncio.sleep(0)
    hints.publish("wedding:1", b"look")
    await hints.aclose()
    await asyncio.wait_for(task, 5)
    assert heard == []
    assert not hints.connected


async def test_the_queue_to_a_silent_redis_is_bounded() -> None:
    """However much is published to a Redis that never answers, only the newest hints are kept."""
    hints = Hints(SecretStr("redis://127.0.0.1:1/0"))
    for number in range(module._OUTBOX + 50):
        hints.publish("wedding:1", str(number).encode())
    assert hints._outbox.qsize() == module._OUTBOX
    assert hints._outbox.get_nowait() == ("wedding:1", b"50")
    await hints.aclose()
