"""What carries news: vendors' webhooks, lost, late and many times over, and the sync service's commits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from services.gateway.records import Link
from services.gateway.store.deliveries import Commit
from services.gateway.store.inbound import Arrival, Endpoint
from services.gateway.vendors.manifest import Manifest
from tests.convergence.canon import Canon
from tests.convergence.gateway import Gateway
from tests.simulation.surroundings import Surroundings
from wedsync.errors import WedSyncError
from wedsync.model.ids import new_id

_COPIES = (1, 1, 1, 1, 2, 5)
_DELAY_SECONDS, _RETRY_SECONDS, _TRIES = 4.0, 1.0, 6
_REPEATED = 0.1
"""How often commits are handed over once more although that was answered."""


class Post:
    """Brings webhooks to whichever gateway listens."""

    def __init__(
        self, around: Surroundings, gateways: Sequence[Gateway], *, lost: float, late: float
    ) -> None:
        self._around, self._gateways = around, gateways
        self.lost, self.late = lost, late
        self.very_late: list[Arrival] = []
        """What comes days later, when all is long quiet."""
        self.under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(
        self,
        link: Link,
        manifest: Manifest,
        record_ids: Sequence[str],
        shown: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Have a vendor send a webhook, if its kind does; with whole records, if it shows them."""
        if manifest.inbound is None:
            return
        key = new_id() if manifest.inbound.delivery_id else None
        if self._around.random() < self.lost:
            self._around.faults.struck["webhook lost"] += 1
            return
        for _ in range(self._around.chance.choice(_COPIES)):
            arrival = self.arrival(link, record_ids, key, shown if manifest.inbound.whole_records else ())
            if self._around.random() < self.late:
                self._around.faults.struck["webhook days late"] += 1
                self.very_late.append(arrival)
            else:
                self.send(arrival)

    def send(self, arrival: Arrival) -> None:
        """Send a webhook, soon."""
        self.under_way += 1
        self._around.later(self._around.random() * _DELAY_SECONDS, lambda: self._start(arrival))

    def _start(self, arrival: Arrival) -> None:
        task = self._around.loop.create_task(self._deliver(arrival))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, arrival: Arrival) -> None:
        """Try until it is answered, or too often."""
        try:
            for _ in range(_TRIES):
                try:
                    await self._around.chance.choice(self._gateways).accept(arrival)
                except WedSyncError:
                    await asyncio.sleep(_RETRY_SECONDS * (1 + self._around.random()))
                else:
                    return
        finally:
            self.under_way -= 1

    def arrival(
        self,
        link: Link,
        record_ids: Sequence[str],
        key: str | None = None,
        shown: Sequence[Mapping[str, Any]] = (),
    ) -> Arrival:
        """Return a webhook that points at records, and may show them."""
        return Arrival(
            webhook_id=new_id(),
            endpoint=Endpoint(
                organization_id=link.organization_id,
                integration_id=link.integration_id,
                vendor=link.vendor,
            ),
            body=json.dumps({"records": list(record_ids), "shown": list(shown)}).encode(),
            trace_parent="",
            detected_at=self._around.now(),
            delivery_key=key,
        )


class Courier:
    """Hands commits over until that is answered: in any order, and some of them twice."""

    def __init__(self, around: Surroundings, canon: Canon, gateways: Sequence[Gateway]) -> None:
        self._around, self._canon, self._gateways = around, canon, gateways
        self.slow = False
        """Whether commits lie about for a while."""

    async def run(self) -> None:
        """Do so for ever."""
        while True:
            await asyncio.sleep(self._around.random() * (8.0 if self.slow else 0.3))
            waiting = self._canon.outbox
            if waiting:
                await self._hand_over(self._around.chance.sample(waiting, self._some(len(waiting))))

    async def _hand_over(self, commits: Sequence[Commit]) -> None:
        try:
            await self._around.chance.choice(self._gateways).commits(commits)
        except (WedSyncError, ConnectionError):
            return
        if self._around.random() > _REPEATED or self._around.faults.over:
            done = {commit.sequence for commit in commits}
            self._canon.outbox[:] = [each for each in self._canon.outbox if each.sequence not in done]

    def _some(self, waiting: int) -> int:
        return 1 + self._around.chance.randrange(waiting)
