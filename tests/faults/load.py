"""The load under which faults happen: callers who repeat until they are answered, and watchers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from random import Random

from tests.faults.authors import STATUS, Author, View
from wedsync.client import SyncClient, open_channel, wedding_message
from wedsync.errors import WedSyncError
from wedsync.model.changes import Change
from wedsync.model.ids import new_id
from wedsync.testing.history import Recorder

_LONGEST_THOUGHT = 0.15
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5


@dataclass(frozen=True)
class Keys:
    """API keys of a customer, and of a service of our own that speaks for vendors."""

    studio: str
    internal: str


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """Who edits: a planner of each wedding, and beside it somebody who speaks as a vendor."""

    weddings: int
    seed: int
    vendors: bool = True
    status: Sequence[str] = STATUS
    """What planners say of an event."""
    longest_thought: float = _LONGEST_THOUGHT
    """How many seconds an author thinks between two calls at most."""


class Caller:
    """One author and its connection: one call under way, repeated with the same ids until it is answered."""

    def __init__(
        self,
        wedding_id: str,
        author: Author,
        client: SyncClient,
        recorder: Recorder,
        random: Random,
        longest_thought: float,
    ) -> None:
        self._wedding_id, self._author, self._client = wedding_id, author, client
        self._recorder, self._random, self._longest_thought = recorder, random, longest_thought

    async def run(self, awake: asyncio.Event, over: asyncio.Event) -> None:
        """Edit while awake, until it is over; what was begun is brought to its end."""
        while not over.is_set():
            await awake.wait()
            await self._edit(self._author.changes())
            await asyncio.sleep(self._random.random() * self._longest_thought)

    async def _edit(self, changes: Sequence[Change]) -> None:
        pause = _FIRST_PAUSE
        while not await self._answered(changes):
            await asyncio.sleep(pause * (0.5 + self._random.random() / 2))
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _answered(self, changes: Sequence[Change]) -> bool:
        try:
            await self._recorder.call(
                lambda: self._client.apply_changes(self._wedding_id, changes, on_behalf=self._author.vendor),
                client=self._author.name,
                wedding_id=self._wedding_id,
                changes=changes,
            )
        except WedSyncError as error:
            if not error.retryable:
                raise
            return False
        return True


class Watcher:
    """Reads a wedding's log live, and goes on where it was whenever the stream breaks."""

    def __init__(self, name: str, wedding_id: str, client: SyncClient, view: View) -> None:
        self.name, self.wedding_id = name, wedding_id
        self._client, self._view = client, view
        self.seen: list[tuple[int, str]] = []

    async def run(self) -> None:
        """Watch until cancelled."""
        async with aclosing(self._client.watch_wedding(self.wedding_id, 0)) as messages:
            async for message in messages:
                if message.HasField("change"):
                    self.seen.append((message.sequence, message.change.change_id))
                    self._view.take(message.change)

    @property
    def reached(self) -> int:
        """The last sequence seen."""
        return self.seen[-1][0] if self.seen else 0


class Load:
    """Callers and watchers of some weddings, spread over the targets, with the others to fall back on."""

    def __init__(self, keys: Keys, targets: Sequence[str], crowd: Crowd) -> None:
        self._keys, self._targets, self._crowd = keys, targets, crowd
        self._random = Random(crowd.seed)  # noqa: S311  # nothing is secret here
        self.recorder = Recorder()
        self.weddings = [new_id() for _ in range(crowd.weddings)]
        self.awake = {wedding_id: asyncio.Event() for wedding_id in self.weddings}
        """Whether anybody edits the wedding."""
        self.watchers: list[Watcher] = []
        self._over = asyncio.Event()
        self._callers: list[asyncio.Task[None]] = []
        self._watching: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Make the weddings and begin; at the end let go of everything."""
        async with AsyncExitStack() as stack:
            for number, wedding_id in enumerate(self.weddings):
                # A wedding's people and vendors may come to different servers.
                studio, internal = [
                    SyncClient(await stack.enter_async_context(open_channel(self._first(at), api_key=key)))
                    for at, key in ((number, self._keys.studio), (number + 1, self._keys.internal))
                ]
                message = wedding_message(
                    f"No. {number}", "2027-06-12", "Europe/Paris", wedding_id=wedding_id
                )
                await studio.create_wedding(message)
                self._begin(wedding_id, number, studio, internal)
            try:
                yield
            finally:
                for task in [*self._callers, *self._watching]:
                    task.cancel()
                await asyncio.gather(*self._callers, *self._watching, return_exceptions=True)

    async def finish(self) -> None:
        """Begin nothing new, and wait until everything that was begun is answered."""
        self._over.set()
        for awake in self.awake.values():
            awake.set()
        await asyncio.gather(*self._callers)

    def require_running(self) -> None:
        """Raise what ended a caller or a watcher too early."""
        for task in [*self._callers, *self._watching]:
            if task.done():
                task.result()

    def _begin(self, wedding_id: str, number: int, studio: SyncClient, internal: SyncClient) -> None:
        view, awake = View(), self.awake[wedding_id]
        awake.set()
        watcher = Watcher(f"watcher {number}", wedding_id, studio, view)
        self.watchers.append(watcher)
        self._watching.append(asyncio.create_task(watcher.run()))
        people = [(f"planner {number}", studio)]
        people += [(f"vendor {number}", internal)] if self._crowd.vendors else []
        for name, client in people:
            vendor, crowd = client is internal, self._crowd
            author = Author(name, view, self._random, vendor=vendor, status=crowd.status)
            caller = Caller(wedding_id, author, client, self.recorder, self._random, crowd.longest_thought)
            self._callers.append(asyncio.create_task(caller.run(awake, self._over)))

    def _first(self, number: int) -> str:
        """Return an address of all targets, of which gRPC takes the first that works."""
        first = number % len(self._targets)
        return "ipv4:" + ",".join([*self._targets[first:], *self._targets[:first]])
