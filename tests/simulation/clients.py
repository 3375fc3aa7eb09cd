"""Those who use the service from outside: authors until they are answered or give up, and readers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.simulation.authors import Author, Manager, everybody
from tests.simulation.receivers import Conflicts, Gateway
from tests.simulation.service import Refused, Service
from tests.simulation.surroundings import Surroundings
from wedsync.errors import UnknownWedding, WedSyncError
from wedsync.model.changes import Change, ChangeResult
from wedsync.testing.history import Call, Reader, Recorder

OPERATIONS = 200
"""Changes that are sent in a seed at least, however often each is repeated."""

_AT_ONCE = 2
"""What each author does at the same time."""
_THINK_SECONDS, _UNTIL_PAUSE_SECONDS = 0.8, 8.0
_PATIENCE = 4
_LOST, _REPEATED = 0.02, 0.03
"""How often a call is lost, on its way or on its way back, and how often it arrives twice."""
_LEAVES = 0.02
"""How often a reader goes away after what it read, and comes back elsewhere."""


class Clients:
    """All of them, each on its way through the servers there happen to be."""

    def __init__(
        self,
        around: Surroundings,
        *,
        services: Sequence[Service],
        gateway: Gateway,
        conflicts: Conflicts,
        weddings: Sequence[str],
    ) -> None:
        self._around, self._services, self._weddings = around, services, weddings
        self._authors = everybody(around.chance, gateway, conflicts)
        self._manager = Manager("manager", around.chance, gateway)
        self._faithful = around.chance.choice((0.5, 0.8))
        """How often a call goes to the server its wedding's calls mostly go to."""
        self._recorder = Recorder(around.monotonic)
        self._seen: dict[str, list[tuple[int, str]]] = {wedding_id: [] for wedding_id in weddings}
        self._tasks: list[asyncio.Task[None]] = []
        self.operations, self.enough = 0, asyncio.Event()
        """How many changes were sent, and whether those are all."""

    def start(self) -> None:
        """Begin to use the service."""
        work = [self._work(author) for author in self._authors for _ in range(_AT_ONCE)]
        self._tasks = [asyncio.create_task(each) for each in (*work, self._manage(self._manager))]
        self._readers = [asyncio.create_task(self._read(wedding_id)) for wedding_id in self._weddings]

    @property
    def busy(self) -> int:
        """How many are not done yet. Raises what went wrong with one that is."""
        for task in self._tasks:
            if task.done():
                task.result()
        return sum(not task.done() for task in self._tasks)

    @property
    def calls(self) -> Sequence[Call]:
        """What was asked and answered."""
        return self._recorder.calls

    @property
    def readers(self) -> list[Reader]:
        """What was read."""
        return [
            Reader(name=f"of {wedding_id}", wedding_id=wedding_id, after=0, seen=seen)
            for wedding_id, seen in self._seen.items()
        ]

    async def _work(self, author: Author) -> None:
        while self.operations < OPERATIONS:
            await asyncio.sleep(self._around.random() * _THINK_SECONDS)
            await self._send(author, self._around.chance.choice(self._weddings))

    async def _manage(self, manager: Manager) -> None:
        """Pause a wedding now and then, for a little while."""
        while self.operations < OPERATIONS:
            await asyncio.sleep(self._around.random() * _UNTIL_PAUSE_SECONDS)
            wedding_id = self._around.chance.choice(self._weddings)
            await self._send(manager, wedding_id)
            await asyncio.sleep(self._around.random() * 0.3)
            await self._send(manager, wedding_id)

    async def _send(self, author: Author, wedding_id: str) -> None:
        changes = author.changes(wedding_id)
        if changes:
            self._count(len(changes))
            results = await self._until_answered(author, wedding_id, changes)
            for place, change in enumerate(changes):
                author.told(wedding_id, change, results[place] if results else None)

    def _count(self, changes: int) -> None:
        self.operations += changes
        if self.operations >= OPERATIONS:
            self.enough.set()

    async def _until_answered(
        self, author: Author, wedding_id: str, changes: Sequence[Change]
    ) -> Sequence[ChangeResult] | None:
        tries = 0
        while author.patient or tries < _PATIENCE:
            tries += 1
            try:
                return await self._call(author, wedding_id, changes)
            except (WedSyncError, TimeoutError, Refused) as error:
                self._around.note(None, f"{author.name} gets {type(error).__name__}")
                await asyncio.sleep(self._around.random() * min(2.0, 0.2 * tries))
        return None

    async def _call(
        self, author: Author, wedding_id: str, changes: Sequence[Change]
    ) -> Sequence[ChangeResult]:
        """Call once. Now and then it arrives twice: the other one's answer is nobody's."""
        if self._around.random() < _REPEATED:
            twin = self._recorded(author, wedding_id, changes)
            asyncio.create_task(twin).add_done_callback(lambda task: task.cancelled() or task.exception())
        return await self._recorded(author, wedding_id, changes)

    async def _recorded(
        self, author: Author, wedding_id: str, changes: Sequence[Change]
    ) -> Sequence[ChangeResult]:
        seconds = self._around.chance.choice((1.0, 5.0, 10.0))
        return await self._recorder.call(
            lambda: self._sent(wedding_id, changes, seconds),
            client=author.name,
            wedding_id=wedding_id,
            changes=changes,
            refusals=(Refused, UnknownWedding),
        )

    async def _sent(
        self, wedding_id: str, changes: Sequence[Change], seconds: float
    ) -> Sequence[ChangeResult]:
        dice = self._around.random()
        if dice < _LOST and not self._around.faults.over:
            await asyncio.sleep(seconds)
            raise TimeoutError
        async with asyncio.timeout(seconds):
            results = await self._server_of(wedding_id).apply(wedding_id, changes, seconds)
        if dice > 1 - _LOST and not self._around.faults.over:
            raise TimeoutError
        self._around.note(None, " ".join(f"{r.change_id}:{r.outcome}:{r.sequence}" for r in results))
        return results

    def _server_of(self, wedding_id: str) -> Service:
        if self._around.random() < self._faithful:
            return self._services[self._weddings.index(wedding_id) % len(self._services)]
        return self._around.chance.choice(self._services)

    async def _read(self, wedding_id: str) -> None:
        """Watch a wedding's log, on one server after the other."""
        seen = self._seen[wedding_id]
        while True:
            last = seen[-1][0] if seen else 0
            shown, call = self._around.chance.choice(self._services).watch(wedding_id, last)
            while (found := await shown.get()) is not None:
                seen += [(entry.sequence, entry.change_id) for entry in found]
                if self._around.random() < _LEAVES:
                    break
            call.cancel()
            await asyncio.sleep(self._around.random() * 0.3)
