"""One seed: servers, owners, a database, authors, readers, what goes wrong, what is true afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from services.sync.facts import Destination
from services.sync.pool import Placement
from tests.simulation.actors import ActorProcess
from tests.simulation.clients import Clients
from tests.simulation.faults import Faults
from tests.simulation.hearing import unheard
from tests.simulation.loop import SimLoop, Stuck
from tests.simulation.receivers import Conflicts, Gateway
from tests.simulation.server import Server
from tests.simulation.service import Hints, Service
from tests.simulation.surroundings import Surroundings
from tests.simulation.tables import Tables
from tests.simulation.troubles import Troubles
from wedsync.testing.history import History, violations

WEDDINGS = ("w1", "w2", "w3")
POINTS_A_SEED = 3
_SERVERS = 2
_QUIET_SECONDS = 90.0
"""Longer than any claim on a fact, and any lease, by a clock that jumped."""

_PLACEMENTS = (
    Placement(capacity=1, warm=1, most=4, idle_seconds=3.0),
    Placement(capacity=1, warm=1, most=2, idle_seconds=30.0),
    Placement(capacity=3, warm=1, most=2, idle_seconds=3.0),
    Placement(capacity=2, warm=1, most=3, kept=1, idle_seconds=30.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a seed went."""

    seed: int
    wrong: Sequence[str]
    digest: str
    operations: int
    passed: dict[str, int]
    struck: dict[str, int]
    seconds: float
    """Imagined ones."""


class World:
    """Everything there is in one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        chance = Random(seed)  # noqa: S311  # nobody must not guess it
        self.around = Surroundings(SimLoop(chance.random), chance, Faults.drawn(seed, chance, POINTS_A_SEED))
        self.server = Server(self.around)
        for wedding_id in WEDDINGS:
            self.server.database.add(wedding_id, ("florist", "studio"))
        self.gateway, self.conflicts = Gateway(self.around), Conflicts(self.around)
        self.actors: dict[str, ActorProcess] = {}
        self._placement = chance.choice(_PLACEMENTS)
        self._hints = Hints(self.around)
        self.services = [self._service(f"s{place}") for place in range(_SERVERS)]
        self._clients = Clients(
            self.around,
            services=self.services,
            gateway=self.gateway,
            conflicts=self.conflicts,
            weddings=WEDDINGS,
        )
        self._troubles = Troubles(
            self.around,
            server=self.server,
            services=self.services,
            actors=self.actors,
            gateway=self.gateway,
            conflicts=self.conflicts,
        )

    def run(self) -> Report:
        """Live through it."""
        loop = self.around.loop
        asyncio.set_event_loop(loop)
        try:
            wrong = loop.run_until_complete(self._main())
        except Stuck as stuck:
            wrong = [str(stuck)]
        digest = self.around.digest()
        self._end()
        asyncio.set_event_loop(None)
        loop.close()
        faults = self.around.faults
        return Report(
            seed=self.seed,
            wrong=wrong + loop.complaints,
            digest=digest,
            operations=self._clients.operations,
            passed=dict(faults.passed),
            struck=dict(faults.struck),
            seconds=loop.time(),
        )

    def _service(self, name: str) -> Service:
        service = Service(
            name,
            self.around,
            self.server,
            actors=self.actors,
            delivers={
                Destination.GATEWAY: self.gateway.deliver,
                Destination.CONFLICTS: self.conflicts.deliver,
            },
            hints=self._hints,
            placement=self._placement,
        )
        service.on_death.append(lambda: self._replace(service))
        return service

    def _replace(self, service: Service) -> None:
        """Have whoever watches over servers start another one."""
        self.around.note(service, "died")
        place = self.services.index(service)

        def start() -> None:
            self.services[place] = self._service(f"{service.name}'")

        self.around.later(0.2 + self.around.random() * 2.0, start)

    async def _main(self) -> list[str]:
        self._clients.start()
        await self._troubles.run()
        await self._clients.enough.wait()
        self._troubles.heal()
        self.around.note(None, "healed")
        return await self._quiet()

    def _end(self) -> None:
        """Leave nothing behind that still waits for something."""
        for process in (*self.services, *self.actors.values()):
            process.on_death.clear()
        left = asyncio.all_tasks(self.around.loop)
        for task in left:
            task.cancel()
        self.around.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))

    async def _quiet(self) -> list[str]:
        """Wait until nothing is left to do, and judge."""
        until = self.around.loop.time() + _QUIET_SECONDS
        while not self._settled():
            if self.around.loop.time() > until:
                waiting = f"{self._clients.busy} authors wait, {len(self._tables.outbox)} facts do"
                return [f"it never becomes quiet: {waiting}", *self._wrong()]
            await asyncio.sleep(0.5)
        return self._wrong()

    def _settled(self) -> bool:
        logs = self._tables.changes
        read = all(len(reader.seen) == len(logs[reader.wedding_id]) for reader in self._clients.readers)
        return read and not self._tables.outbox and not self._clients.busy

    def _wrong(self) -> list[str]:
        history = History(
            calls=self._clients.calls,
            logs=self._tables.changes,
            items=self._tables.items,
            readers=self._clients.readers,
        )
        return [*violations(history), *unheard(self.server.database, self.gateway, self.conflicts)]

    @property
    def _tables(self) -> Tables:
        return self.server.database.tables
