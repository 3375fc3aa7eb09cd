"""Actors without Ray: owners in this process, with ways to make them die, hang and stay away."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from services.sync.batch import dump_answer, load_batch
from services.sync.lease import Lease
from services.sync.mailbox import ActorLost
from services.sync.owner import Owner, OwnerStore


@dataclass(eq=False)
class LocalActor:
    """One owner; its calls do not touch a socket."""

    owner: Owner
    pid: int
    dead: bool = False
    hangs: bool = False
    die_after_next: bool = False
    """Apply the next batch, then die before the answer is out."""
    calls: list[int] = field(default_factory=list)
    """How many changes each call brought."""
    gate: asyncio.Event | None = None
    """While it is not set, calls wait."""
    unborn: bool = False
    """It never comes up, and nobody says so."""

    async def apply(self, batch: bytes, seconds: float) -> bytes:
        """Apply a batch."""
        if self.gate is not None:
            await self.gate.wait()
        await self._reach(seconds)
        asked = load_batch(batch)
        self.calls.append(sum(len(changes) for changes in asked.work.values()))
        answer = dump_answer(self.owner.apply(asked))
        if self.die_after_next:
            self.dead = True
            raise ActorLost("killed")
        return answer

    async def ping(self, seconds: float) -> int:
        """Answer, if that is possible."""
        if self.unborn:
            await asyncio.Event().wait()
        await self._reach(seconds)
        return self.pid

    async def retire(self, seconds: float) -> None:
        """Give everything up."""
        await self._reach(seconds)
        self.owner.retire()

    async def kill(self, seconds: float) -> bool:
        """End it; a hanging one cannot be known to be dead."""
        self.dead = True
        return not self.hangs

    async def _reach(self, seconds: float) -> None:
        if self.hangs:
            raise ActorLost(f"no answer within {seconds} s")
        if self.dead:
            raise ActorLost("dead")
        await asyncio.sleep(0)


class LocalActors:
    """Starts owners over stores from a factory."""

    def __init__(
        self, store: Callable[[], OwnerStore], *, monotonic: Callable[[], float], capacity: int = 1
    ) -> None:
        self._store, self._monotonic, self._capacity = store, monotonic, capacity
        self._pids = itertools.count(100)
        self.all: list[LocalActor] = []
        self.by_owner: dict[str, LocalActor] = {}
        self.away = False
        self.stillborn = 0
        """How many of the next ones die at birth."""
        self.unborn = 0
        """How many of the next ones never come up."""
        self.connects = 0

    @property
    def living(self) -> list[LocalActor]:
        """Return those that were not lost."""
        return [actor for actor in self.all if not actor.dead]

    async def connect(self) -> None:
        """Connect."""
        self.connects += 1
        if self.away:
            raise ActorLost("away")

    async def start(self, owner_id: str) -> LocalActor:
        """Start an owner."""
        if self.away:
            raise ActorLost("away")
        store = self._store()
        lease = Lease(lambda seconds: store.renew(owner_id, seconds), self._monotonic)
        owner = Owner(owner_id=owner_id, store=store, lease=lease, capacity=self._capacity)
        actor = LocalActor(owner, next(self._pids))
        if self.stillborn:
            self.stillborn -= 1
            actor.dead = True
        if self.unborn:
            self.unborn -= 1
            actor.unborn = True
        self.all.append(actor)
        self.by_owner[owner_id] = actor
        return actor

    async def find(self, owner_id: str) -> LocalActor:
        """Return the actor that owns under this id, whoever started it."""
        if owner_id not in self.by_owner:
            raise ActorLost("no such actor")
        return self.by_owner[owner_id]

    async def close(self) -> None:
        """Let go of all."""
        for actor in self.all:
            actor.dead = True
