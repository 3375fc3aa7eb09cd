"""Hints through Redis: "look again now". Every fact is in PostgreSQL, so a hint may be lost at any moment.

Publishing never waits and never fails; a subscription survives Redis being absent, gone or back. What all
processes count together, such as calls within a rate limit, a script counts; without Redis each counts alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import redis.asyncio as redis
from pydantic import SecretStr
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from wedsync.errors import Overloaded
from wedsync.runtime.together import Together

_log = logging.getLogger(__name__)

Item = TypeVar("Item")

_OUTBOX = 1000  # hints waiting for Redis; beyond it the oldest go
_INBOX = 100  # hints a slow subscriber has not taken; beyond it the oldest go
_BATCH = 100
_SOCKET_SECONDS = 2.0
_POLL_SECONDS = 5.0
_BACKOFF_FIRST = 0.05
_BACKOFF_CAP = 5.0
# Whoever asks waits for the answer; what is lost with it is never more than a hint.
_ANSWER_SECONDS = 0.25
_MUTE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Asked:
    """A script to be run with arguments, the first of which are keys."""

    script: str
    keys: int
    arguments: Sequence[str | float]

    @property
    def command(self) -> Sequence[str | float]:
        return ("EVALSHA", _digest(self.script), self.keys, *self.arguments)


class Hints:
    """One process's connection to the hints; with no URL it accepts everything and delivers nothing."""

    def __init__(self, url: str | SecretStr | None) -> None:
        plain = url.get_secret_value() if isinstance(url, SecretStr) else url
        self._client = _client(plain) if plain else None
        self._outbox: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(_OUTBOX)
        self._inboxes: dict[str, set[asyncio.Queue[bytes | None]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._pubsub: Any = None
        self._evaluate = Together[_Asked, Any](self._evaluate_all)
        self._scripts: set[str] = set()
        """What Redis was given; it forgets them when it starts anew."""
        self._closed = False
        self._mute_until = 0.0
        self.configured = plain is not None
        """Whether there is a Redis at all, working or not."""
        self.connected = False
        """Whether the listening connection works now; for showing, not for deciding."""

    def publish(self, channel: str, payload: bytes = b"") -> None:
        """Send a hint, if that is possible at all. Call it on the event loop."""
        if self._client is None or self._closed:
            return
        _put(self._outbox, (channel, payload))
        self._ensure("publish", self._publishing)

    async def subscribe(self, channel: str) -> AsyncIterator[bytes]:
        """Yield the payloads of a channel until `aclose`; close the iterator to unsubscribe.

        Some may be missed: look at the facts at first, and again every so often.
        """
        inbox: asyncio.Queue[bytes | None] = asyncio.Queue(_INBOX)
        if self._closed:
            return
        self._inboxes.setdefault(channel, set()).add(inbox)
        try:
            await self._listen_to(channel)
            while (payload := await inbox.get()) is not None:
                yield payload
        finally:
            await self._forget(channel, inbox)

    async def evaluate(self, script: str, keys: Sequence[str], values: Sequence[str | float]) -> Any:
        """Return what a Lua script answers; None, soon, where Redis cannot be asked now."""
        if self._client is None or self._closed:
            return None
        return await self._evaluate(_Asked(script, len(keys), (*keys, *values)))

    def tell(self, script: str, keys: Sequence[str], values: Sequence[str | float]) -> None:
        """Have a Lua script run soon, if that is possible at all; what it answers is nobody's concern."""
        if self._client is None or self._closed:
            return
        with contextlib.suppress(Overloaded):
            self._evaluate.ask(_Asked(script, len(keys), (*keys, *values)))

    async def aclose(self) -> None:
        """End every subscription and let go of Redis."""
        self._closed = True
        for inboxes in self._inboxes.values():
            for inbox in inboxes:
                _put(inbox, None)
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=_SOCKET_SECONDS)
        if self._client is not None:
            await _quietly(self._client.aclose())

    async def _evaluate_all(self, asked: Sequence[_Asked]) -> list[Any]:
        assert self._client is not None  # noqa: S101  # without one nobody asks
        if asyncio.get_running_loop().time() < self._mute_until:
            return [None] * len(asked)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await _answers(self._client, asked, self._scripts)
        except (RedisError, OSError, TimeoutError) as error:
            # A Redis that hangs must not cost every caller that long.
            self._mute_until = asyncio.get_running_loop().time() + _MUTE_SECONDS
            _log.info("no answer for now: %s", type(error).__name__)
            return [None] * len(asked)

    async def _listen_to(self, channel: str) -> None:
        if self._client is None:
            return
        self._ensure("listen", self._listening)
        if self._pubsub is not None:
            await _quietly(self._pubsub.subscribe(channel))

    async def _forget(self, channel: str, inbox: asyncio.Queue[bytes | None]) -> None:
        inboxes = self._inboxes.get(channel, set())
        inboxes.discard(inbox)
        if inboxes:
            return
        self._inboxes.pop(channel, None)
        # A closed pubsub would connect anew to say that it leaves.
        if self._pubsub is not None and not self._closed:
            await _quietly(self._pubsub.unsubscribe(channel))

    def _ensure(self, name: str, work: Callable[[redis.Redis], Awaitable[None]]) -> None:
        if name not in self._tasks:
            self._tasks[name] = asyncio.create_task(self._again_and_again(work), name=f"hints-{name}")

    async def _again_and_again(self, work: Callable[[redis.Redis], Awaitable[None]]) -> None:
        assert self._client is not None  # noqa: S101  # without one nothing is ever started
        pause = _BACKOFF_FIRST
        while True:
            started = asyncio.get_running_loop().time()
            try:
                await work(self._client)
            except (RedisError, OSError, TimeoutError) as error:
                self.connected = False
                _log.info("no hints for now: %s", type(error).__name__)
            if asyncio.get_running_loop().time() - started > _BACKOFF_CAP:
                pause = _BACKOFF_FIRST
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # jitter, no secret
            pause = min(pause * 2, _BACKOFF_CAP)

    async def _publishing(self, client: redis.Redis) -> None:
        while True:
            batch = [await self._outbox.get()]
            while len(batch) < _BATCH and not self._outbox.empty():
                batch.append(self._outbox.get_nowait())
            await _published(client, batch)

    async def _listening(self, client: redis.Redis) -> None:
        pubsub = client.pubsub(ignore_subscribe_messages=True)
        try:
            if self._inboxes:
                await pubsub.subscribe(*self._inboxes)
            self._pubsub, self.connected = pubsub, True
            while True:
                message = await pubsub.get_message(timeout=_POLL_SECONDS)
                if message is None:
                    await self._prove_alive(pubsub)
                elif message["type"] == "message":  # the answer to a ping is none
                    self._deliver(message["channel"].decode(), message["data"])
        finally:
            self._pubsub = None
            await _quietly(pubsub.aclose())  # type: ignore[no-untyped-call]

    async def _prove_alive(self, pubsub: Any) -> None:
        # A connection whose peer vanished looks like a quiet one; only a write finds out.
        if pubsub.subscribed:
            await pubsub.ping()

    def _deliver(self, channel: str, payload: bytes) -> None:
        for inbox in self._inboxes.get(channel, ()):
            _put(inbox, payload)


async def _answers(client: redis.Redis, asked: Sequence[_Asked], known: set[str]) -> list[Any]:
    """Run scripts in one exchange; those that Redis has not, once more with them. Raises `RedisError`."""
    for script in {each.script for each in asked} - known:
        await client.script_load(script)
        known.add(script)
    answers = await _run(client, asked)
    missing = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if missing:
        for script in {asked[place].script for place in missing}:
            await client.script_load(script)
        again = await _run(client, [asked[place] for place in missing])
        for place, answer in zip(missing, again, strict=True):
            answers[place] = answer
    for answer in answers:
        if isinstance(answer, RedisError):
            raise answer
    return answers


async def _published(client: redis.Redis, hints: Sequence[tuple[str, bytes]]) -> None:
    if len(hints) == 1:  # a pipeline costs twice as much for one
        await client.publish(*hints[0])
        return
    async with client.pipeline(transaction=False) as pipeline:
        for hint in hints:
            pipeline.publish(*hint)
        await pipeline.execute()


async def _run(client: redis.Redis, asked: Sequence[_Asked]) -> list[Any]:
    """Return the answers, errors among them."""
    if len(asked) == 1:
        try:
            return [await client.execute_command(*asked[0].command)]  # type: ignore[no-untyped-call]
        except NoScriptError as error:
            return [error]
    async with client.pipeline(transaction=False) as pipeline:
        for each in asked:
            pipeline.execute_command(*each.command)
        return await pipeline.execute(raise_on_error=False)


@functools.cache
def _digest(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()


def _client(url: str) -> redis.Redis:
    return redis.from_url(
        url,
        socket_connect_timeout=_SOCKET_SECONDS,
        socket_timeout=_SOCKET_SECONDS,
        retry=Retry(NoBackoff(), 0),  # we reconnect ourselves, with back-off, jitter and a cap
        decode_responses=False,
    )


def _put(queue: asyncio.Queue[Item], item: Item) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(item)


async def _quietly(work: Awaitable[Any]) -> None:
    with contextlib.suppress(RedisError, OSError, TimeoutError):
        await work
