"""Hints through a real Valkey, which comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.runtime.conftest import wait_for
from wedsync.runtime.embedded.local import free_port
from wedsync.runtime.embedded.valkey import EmbeddedValkey
from wedsync.runtime.hints import Hints


@pytest.fixture
async def hints(valkey_url: str) -> AsyncIterator[Hints]:
    """Hints with a Valkey behind them."""
    made = Hints(valkey_url)
    yield made
    await made.aclose()


class Listener:
    """A subscriber in the background, and what it heard."""

    def __init__(self, hints: Hints, channel: str) -> None:
        self.heard: list[bytes] = []
        self._stream = hints.subscribe(channel)
        self.task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for payload in self._stream:
            self.heard.append(payload)

    async def stop(self) -> None:
        """Unsubscribe, as a client that goes away does."""
        self.task.cancel()
        await asyncio.wait([self.task], timeout=5)


async def _until_heard(hints: Hints, channel: str, listener: Listener, payload: bytes) -> None:
    """Publish until the listener hears it: a subscription takes a moment to reach the server."""

    def publish_and_look() -> bool:
        hints.publish(channel, payload)
        return payload in listener.heard

    await wait_for(publish_and_look, 10, f"{payload!r} heard on {channel}")


async def test_a_hint_reaches_every_subscriber_of_its_channel_and_no_other(hints: Hints) -> None:
    """Two subscribers of one channel hear it; one of another channel, joined later, does not."""
    first, second = Listener(hints, "wedding:1"), Listener(hints, "wedding:1")
    await _until_heard(hints, "wedding:1", first, b"look")
    other = Listener(hints, "wedding:2")
    await _until_heard(hints, "wedding:2", other, b"elsewhere")
    await wait_for(lambda: b"look" in second.heard, 5, "the second subscriber heard it")
    assert b"look" not in other.heard
    assert b"elsewhere" not in first.heard
    assert hints.connected


async def test_a_hint_crosses_processes(hints: Hints, valkey_url: str) -> None:
    """What one connection publishes another one hears."""
    publisher = Hints(valkey_url)
    listener = Listener(hints, "wedding:3")
    await _until_heard(publisher, "wedding:3", listener, b"from afar")
    await publisher.aclose()


async def test_after_unsubscribing_the_channel_is_left(hints: Hints) -> None:
    """One of two leaving changes nothing for the other; the last one leaves the channel on the server."""
    first, second = Listener(hints, "wedding:4"), Listener(hints, "wedding:4")
    await _until_heard(hints, "wedding:4", first, b"1")
    await first.stop()
    await _until_heard(hints, "wedding:4", second, b"2")
    assert b"2" not in first.heard
    await second.stop()
    late = Listener(hints, "wedding:4")
    await _until_heard(hints, "wedding:4", late, b"3")
    assert b"3" not in second.heard


async def test_closing_ends_the_subscribers_and_later_calls_do_nothing(valkey_url: str) -> None:
    """After the end every iterator has ended, new ones end at once, and publishing is a no-op."""
    hints = Hints(valkey_url)
    listener = Listener(hints, "wedding:5")
    await _until_heard(hints, "wedding:5", listener, b"x")
    await hints.aclose()
    await asyncio.wait_for(listener.task, 5)
    hints.publish("wedding:5", b"too late")
    assert [payload async for payload in hints.subscribe("wedding:5")] == []


async def test_subscribers_survive_the_server(tmp_path: Path) -> None:
    """Redis absent at first, then there, then gone, then back: the same subscriber hears again each time."""
    port = free_port()
    hints = Hints(f"redis://127.0.0.1:{port}/0")
    listener = Listener(hints, "wedding:6")
    hints.publish("wedding:6", b"nobody home")
    server = EmbeddedValkey(tmp_path / "valkey.log", port)
    try:
        for round_ in (b"first", b"second"):
            server.start()
            await _until_heard(hints, "wedding:6", listener, round_)
            server.stop()
            await wait_for(lambda: not hints.connected, 10, "the loss is noticed")
    finally:
        server.stop()
        await hints.aclose()
    await asyncio.wait_for(listener.task, 5)


async def test_a_quiet_connection_is_proved_alive(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing comes in, the connection is pinged, and hints still arrive afterwards."""
    monkeypatch.setattr("wedsync.runtime.hints._POLL_SECONDS", 0.02)
    hints = Hints(valkey_url)
    listener = Listener(hints, "wedding:7")
    await _until_heard(hints, "wedding:7", listener, b"before")
    quiet_until = asyncio.get_running_loop().time() + 0.2
    await wait_for(lambda: asyncio.get_running_loop().time() > quiet_until, 5, "some polls went by")
    await _until_heard(hints, "wedding:7", listener, b"after")
    assert set(listener.heard) == {b"before", b"after"}
    await listener.stop()
    await hints.aclose()
