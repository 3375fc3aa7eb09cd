"""Troubles that befall a whole part of the world for a while, at moments drawn from the seed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from tests.simulation.actors import ActorProcess
from tests.simulation.receivers import Receiver
from tests.simulation.server import Server
from tests.simulation.service import Service
from tests.simulation.surroundings import Surroundings

_FEWEST, _MOST = 5, 8
_JUMP_SECONDS = 8.0
_MORE = ("actor is written off",) * 5 + ("machine freezes", "database's clock jumps")
"""What brings about two owners of one wedding, and what makes time go back, is worth more tries."""


class Troubles:
    """Causes them, one after the other."""

    def __init__(
        self,
        around: Surroundings,
        *,
        server: Server,
        services: Sequence[Service],
        actors: Mapping[str, ActorProcess],
        gateway: Receiver,
        conflicts: Receiver,
    ) -> None:
        self._around, self._server = around, server
        self._services, self._actors = services, actors
        self._receivers = (gateway, conflicts)
        self.kinds: dict[str, Callable[[], bool]] = {
            "actor dies": self._actor_dies,
            "actor freezes": self._actor_freezes,
            "actor is written off": self._actor_is_written_off,
            "server dies": self._service_dies,
            "server freezes": self._service_freezes,
            "machine freezes": self._machine_freezes,
            "database restarts": self._database_restarts,
            "database is slow": self._database_is_slow,
            "database is away": self._database_is_away,
            "database's clock jumps": self._database_clock_jumps,
            "wall clock jumps": self._wall_clock_jumps,
            "network is slow": self._network_is_slow,
            "Ray is away": self._ray_is_away,
            "gateway is away": lambda: self._is_away(gateway),
            "conflicts service is away": lambda: self._is_away(conflicts),
            "gateway refuses a fact": lambda: self._is_picky(gateway),
        }

    async def run(self) -> None:
        """Cause some."""
        left = _FEWEST + self._around.chance.randrange(_MOST - _FEWEST + 1)
        while left:
            await asyncio.sleep(self._around.random() * 2.0)
            name = self._around.chance.choice((*self.kinds, *_MORE))
            if self.kinds[name]():
                left -= 1
                self._around.note(None, name)
                self._around.faults.struck[name] += 1

    def _seconds(self, most: float = 5.0) -> float:
        return self._around.loop.time() + self._around.random() * most

    def _some_actor(self) -> ActorProcess | None:
        living = [actor for actor in self._actors.values() if not (actor.dead or actor.frozen)]
        used = [actor for actor in living if actor.owner.holding]
        return self._around.chance.choice(used or living) if living else None

    def _actor_dies(self) -> bool:
        if (actor := self._some_actor()) is None:
            return False
        actor.kill()
        return True

    def _actor_freezes(self) -> bool:
        if (actor := self._some_actor()) is None:
            return False
        self._around.freeze(actor, "will")
        return True

    def _actor_is_written_off(self) -> bool:
        """Ray loses sight of an owner that stops in the midst of a batch, and goes on after a takeover."""
        busy = [
            actor
            for actor in self._actors.values()
            if actor.calls and actor.owner.holding and not (actor.dead or actor.frozen)
        ]
        if not busy:
            return False
        self._around.lose_sight_of(max(busy, key=lambda actor: len(actor.calls)), "will")
        return True

    def _service_dies(self) -> bool:
        self._around.chance.choice(self._services).kill()
        return True

    def _service_freezes(self) -> bool:
        self._around.freeze(self._around.chance.choice(self._services), "will")
        return True

    def _machine_freezes(self) -> bool:
        """A server and its owners stop, and do not notice that time goes on."""
        service = self._around.chance.choice(self._services)
        if service.dead or service.frozen:
            return False
        seconds = 5.0 + self._around.random() * 5.0
        for process in (service, *self._actors.values()):
            if process is service or (isinstance(process, ActorProcess) and process.started_by is service):
                self._around.freeze(process, "will", seconds)
        return True

    def _database_restarts(self) -> bool:
        self._server.restart()
        return True

    def _database_is_slow(self) -> bool:
        self._server.slow_until = self._seconds()
        return True

    def _database_is_away(self) -> bool:
        self._server.restart()
        self._server.away_until = self._seconds(3.0)
        return True

    def _database_clock_jumps(self) -> bool:
        self._around.database_ahead += (self._around.random() * 2 - 1) * _JUMP_SECONDS
        return True

    def _wall_clock_jumps(self) -> bool:
        self._around.processes_ahead += (self._around.random() * 2 - 1) * 86_400
        return True

    def _network_is_slow(self) -> bool:
        self._around.network_slow_until = self._seconds()
        return True

    def _ray_is_away(self) -> bool:
        self._around.ray_away_until = self._seconds()
        return True

    def _is_away(self, receiver: Receiver) -> bool:
        receiver.away_until = self._seconds()
        return True

    def _is_picky(self, receiver: Receiver) -> bool:
        receiver.picky_until = self._seconds(2.0)
        return True

    def heal(self) -> None:
        """End all that lasts."""
        self._around.faults.over = True
        self._around.network_slow_until = self._around.ray_away_until = 0.0
        self._server.slow_until = self._server.away_until = 0.0
        for receiver in self._receivers:
            receiver.away_until = receiver.picky_until = 0.0
        for process in (*self._services, *self._actors.values()):
            process.thaw()
