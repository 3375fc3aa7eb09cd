"""One seed: vendors, their people, gateways, the truth; what goes wrong, and what is true afterwards."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from services.gateway.records import Link
from services.gateway.store.inbound import Arrival
from services.gateway.store.links import Integration
from services.gateway.vendors.manifest import Manifest, load_vendors
from services.gateway.vendors.port import Account
from tests.convergence.api import Line
from tests.convergence.canon import WEDDING, Canon
from tests.convergence.faults import drawn
from tests.convergence.gateway import Gateway
from tests.convergence.habits import Habits
from tests.convergence.judge import differences, doubled, untold
from tests.convergence.people import People
from tests.convergence.post import Courier, Post
from tests.convergence.tables import Tables
from tests.convergence.vendor import VendorSystem
from tests.convergence.witness import Witness
from tests.simulation.loop import SimLoop, Stuck
from tests.simulation.surroundings import Surroundings
from wedsync.model import ids

_POLL_SECONDS = 2.0
_STORM_EDITS, _SINGLE_EDITS = 18, 4
_QUIET_SECONDS = 400.0
_POINTS_A_SEED = 3
_MOST_DECISIONS = 4
"""A decision is no edit of anybody's: nobody is to answer it."""
MOST_WRITES = 2
"""By one edit, at each vendor."""


@cache
def manifests() -> Mapping[str, Manifest]:
    """Return every vendor's manifest, as their folders have it."""
    return {name: vendor.manifest for name, vendor in load_vendors().items()}


@dataclass(kw_only=True)
class Report:
    """How a seed went."""

    vendor: str
    seed: int
    wrong: list[str]
    digest: str
    struck: Mapping[str, int]
    edits: int = 0
    calm_seconds: list[float] = field(default_factory=list)
    """How long it took, each time, from the last fault or edit until nothing moved any more."""
    calm_rounds: list[int] = field(default_factory=list)
    """The same in scans of each vendor."""
    costs: list[tuple[str, int, int, int]] = field(default_factory=list)
    """Of each single edit and vendor: its kind, writes, reads of records, scans."""


class World:
    """Everything there is in one seed."""

    def __init__(self, vendor: str, seed: int) -> None:
        self._vendor, self._seed = vendor, seed
        chance = Random(f"{vendor} {seed}")  # noqa: S311  # nobody must not guess it
        self.around = Surroundings(SimLoop(chance.random), chance, drawn(seed, chance, _POINTS_A_SEED))
        self.tables, self.canon = Tables(clock=self.around), Canon(self.around)
        self.lines = {line.system.name: line for line in self._draw_lines()}
        self.links = {name: self._link(number, name) for number, name in enumerate(self.lines)}
        self.gateways = [self._gateway(f"g{n}") for n in range(chance.choice((1, 1, 2)))]
        self.post = Post(self.around, self.gateways, lost=chance.choice((0.1, 0.1, 1.0)), late=0.05)
        self._courier = Courier(self.around, self.canon, self.gateways)
        self.people = People.of(chance, self.canon, [line.system for line in self.lines.values()])
        self.witnesses = [
            Witness(self.canon, self.tables, self.links[name], line.system) for name, line in self.lines.items()
        ]
        for witness in self.witnesses:
            name = witness.system.name
            witness.system.on_touch.append(witness.touched)
            witness.system.on_touch.append(lambda touch, name=name: self._moved(name, touch.record.record_id))
            self.canon.on_ask.append(witness.asked)
            self.canon.on_log.append(witness.logged)

    def run(self) -> Report:
        """Live through it."""
        report = Report(vendor=self._vendor, seed=self._seed, wrong=[], digest="", struck={})
        loop = self.around.loop
        asyncio.set_event_loop(loop)
        try:
            with _by_chance(self.around.chance):
                loop.run_until_complete(self._main(report))
        except Stuck as stuck:
            report.wrong.append(str(stuck))
        self._end()
        asyncio.set_event_loop(None)
        loop.close()
        report.digest, report.struck = self.around.digest(), dict(self.around.faults.struck)
        return report

    async def _main(self, report: Report) -> None:
        courier = asyncio.create_task(self._courier.run())
        await self._storm(report)
        self._heal()
        for phase in (self._agree, self._decide, self._repeat, self._single_edits):
            await phase(report)
            if report.wrong:
                break
        courier.cancel()

    async def _storm(self, report: Report) -> None:
        """Everybody edits, and everything goes wrong."""
        for line in self.lines.values():
            line.trouble = self.around.chance.choice((0.0, 0.05, 0.2))
        for _ in range(_STORM_EDITS):
            self._trouble()
            self.around.note(None, self.people.act())
            report.edits += 1
            await asyncio.sleep(self.around.random() * self.around.chance.choice((0.1, 1.0, 6.0)))

    def _trouble(self) -> None:
        """Have something happen to a whole part of the world, now and then."""
        line = self.around.chance.choice(list(self.lines.values()))
        match self.around.chance.randrange(20):
            case 0:
                line.down = True
            case 1:
                line.locked = self.around.random() < 0.3
            case 2:
                line.down = line.locked = False
            case 3:
                self._courier.slow = not self._courier.slow
            case 4:
                self.around.note(self.gateways[0], "dies")
                self.around.faults.struck["gateway dies"] += 1
                self.gateways[0].kill()
            case _:
                pass

    def _heal(self) -> None:
        self.around.note(None, "healed")
        self.around.faults.over, self._courier.slow, self.post.lost = True, False, 0.0
        for line in self.lines.values():
            line.heal()
        for gateway in self.gateways:
            gateway.thaw()

    async def _agree(self, report: Report) -> None:
        """What nobody disputes is the same everywhere."""
        await self._calm(report)
        report.wrong += self._differences()

    async def _decide(self, report: Report) -> None:
        """Once everything is decided, nothing is held back any more."""
        for _ in range(_MOST_DECISIONS):
            if self.canon.collisions() and not report.wrong:
                self.people.decide_all()
                await self._calm(report)
        report.wrong += [f"{path} is decided again and again" for _, path, _ in self.canon.collisions()]
        report.wrong += self._differences()

    async def _repeat(self, report: Report) -> None:
        """What comes days late, looks at every record and deliveries of every item change nothing at all."""
        before = self._fingerprint()
        for arrival in self.post.very_late:
            self.post.send(arrival)
        for name, link in self.links.items():
            system = self.lines[name].system
            self.post.tell(link, system.manifest, list(system.records))
            for row in self.tables.deliveries.values():
                row.state = "due" if row.state != "parked" else row.state
        await self._calm(report)
        if before != self._fingerprint():
            report.wrong.append(f"it was calm, and then moved again: {before} {self._fingerprint()}")
        report.wrong += self._differences()

    async def _single_edits(self, report: Report) -> None:
        """An edit that nobody else edits beside costs each vendor two writes at most, whatever fails once."""
        systems = [line.system for line in self.lines.values()]
        for _ in range(_SINGLE_EDITS):
            before = {s.name: (s.count(), s.reads["read"] + s.reads["find"], s.reads["scan"]) for s in systems}
            line = self.around.chance.choice(list(self.lines.values()))
            line.next_trouble = self.around.chance.choice(("", "lost", "late", "refused", "garbage"))
            edit = self.people.edit_something()
            self.around.note(None, f"{edit} ({line.system.name}: {line.next_trouble or 'no trouble'})")
            await self._calm(report)
            line.next_trouble = ""
            for system in systems:
                writes, reads, scans = before[system.name]
                cost = (system.count() - writes, system.reads["read"] + system.reads["find"] - reads)
                report.costs.append((system.manifest.vendor, *cost, system.reads["scan"] - scans))
                if cost[0] > MOST_WRITES:
                    report.wrong.append(f"{edit}: {cost[0]} writes at {system.name}")
            report.wrong += self._differences()
            if report.wrong or self.canon.collisions():
                return

    async def _calm(self, report: Report) -> None:
        """Wait until nothing moves any more, and every vendor was looked at twice since."""
        began, moved_at, rounds = self.around.loop.time(), self.around.loop.time(), Counter[str]()
        self._help()
        first, state, seen = Counter(self.tables.scans), self._fingerprint(), Counter(self.tables.scans)
        while any(self.tables.scans[link.link_id] < seen[link.link_id] + 2 for link in self.links.values()):
            await asyncio.sleep(0.5)
            if self.around.loop.time() > began + _QUIET_SECONDS:
                report.wrong.append(f"it never becomes quiet: {self._busy()}")
                return
            if self._busy() or state != self._fingerprint():
                state, seen, moved_at = self._fingerprint(), Counter(self.tables.scans), self.around.loop.time()
        rounds = seen - first
        report.calm_seconds.append(moved_at - began)
        report.calm_rounds.append(max(rounds.values(), default=0))

    def _help(self) -> None:
        """Have people do what they are asked to: let links go on, and try again what is parked."""
        for link in self.links.values():
            self.tables.links[link.link_id] = link
            self.tables.later(link.link_id, 0.0)
        for row in self.tables.deliveries.values():
            row.state = "due" if row.state == "parked" else row.state
        for arrival in [*self.tables.webhooks]:
            if self.tables.finished.get(arrival.webhook_id, ("",))[0] == "parked":
                self._look_into(arrival)

    def _look_into(self, arrival: Arrival) -> None:
        """Have people delete what was made twice, and have everything else that is parked read again."""
        name = arrival.endpoint.vendor
        records = [arrival.body.decode()] if arrival.parked else json.loads(arrival.body)["records"]
        for record_id in records:
            self.lines[name].system.discard_double(record_id)
        self.post.send(self.post.arrival(self.links[name], records))

    def _busy(self) -> list[str]:
        """Return what is still under way."""
        due = [f"due: {row.reason}" for row in self.tables.deliveries.values() if row.state == "due"]
        pending = ["a change" for row in self.tables.activities if row.state == "pending"]
        carried = ["a commit"] * len(self.canon.outbox) + ["a webhook"] * len(self.tables.waiting)
        landing = ["a late write" for line in self.lines.values() if line.landing]
        on_its_way = ["a webhook on its way"] if self.post.under_way else []
        return [*due, *pending, *carried, *landing, *on_its_way]

    def _fingerprint(self) -> tuple[int, ...]:
        writes = (line.system.count() for line in self.lines.values())
        return (len(self.canon.log), len(self.tables.activities), *writes)

    def _differences(self) -> list[str]:
        seen = [words for witness in self.witnesses for words in witness.wrong]
        return self.tables.complaints + seen + [
            f"{name}: {words}"
            for name, link in self.links.items()
            for words in (
                *differences(self.canon, self.tables, link, self.lines[name].system),
                *untold(self.canon, self.tables, link, self.lines[name].system),
                *doubled(self.tables, link, self.lines[name].system),
            )
        ]

    def _draw_lines(self) -> Iterator[Line]:
        chance, wanted = self.around.chance, manifests()[self._vendor]
        others = [m for m in manifests().values() if m.kinds.keys() & wanted.kinds.keys()]
        for number, manifest in enumerate([wanted, *chance.sample(others, min(len(others), chance.choice((1, 2))))]):
            # Without channels: what they tell is that a poll is due, and polls come often enough here.
            plain = replace(manifest, push=None).with_poll_interval(_POLL_SECONDS)
            system = VendorSystem(f"{manifest.vendor} {number}", plain, Habits.drawn(chance), chance)
            yield Line(self.around, system)

    def _link(self, number: int, name: str) -> Link:
        link = Link(
            link_id=f"00000000-0000-4000-8000-00000000001{number}",
            organization_id="studio",
            wedding_id=WEDDING,
            integration_id=f"00000000-0000-4000-8000-00000000002{number}",
            vendor=name,
            scope={},
            time_zone="Europe/Paris",
        )
        account = Account(integration_id=link.integration_id, base_url="https://vendor.invalid")
        integration = Integration(
            integration_id=link.integration_id,
            organization_id=link.organization_id,
            vendor=name,
            base_url=account.base_url,
            created_at=self.around.now(),
            sealed=b"",
        )
        self.tables.links[link.link_id] = link
        self.tables.integrations[link.integration_id] = (integration, account)
        return link

    def _gateway(self, name: str) -> Gateway:
        gateway = Gateway(name, self.around, tables=self.tables, lines=self.lines, canon=self.canon)
        gateway.on_death.append(lambda: self._replace(gateway))
        return gateway

    def _replace(self, gateway: Gateway) -> None:
        """Have whoever watches over processes start another one."""
        place = self.gateways.index(gateway)

        def start() -> None:
            self.gateways[place] = self._gateway(f"{gateway.name}'")

        self.around.later(0.2 + self.around.random() * 3.0, start)

    def _moved(self, name: str, record_id: str) -> None:
        self.post.tell(self.links[name], self.lines[name].system.manifest, [record_id])

    def _end(self) -> None:
        """Leave nothing behind that still waits for something."""
        for gateway in self.gateways:
            gateway.on_death.clear()
            gateway.kill()
        left = asyncio.all_tasks(self.around.loop)
        for task in left:
            task.cancel()
        self.around.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))


@contextmanager
def _by_chance(chance: Random) -> Iterator[None]:
    """Have what production draws from elsewhere drawn from the seed: jitter, and ids."""
    before = random.getstate()
    random.seed(chance.random())
    count = iter(range(1, 1 << 30))
    with (
        patch.object(ids, "os", SimpleNamespace(urandom=chance.randbytes)),
        patch.object(ids, "time", SimpleNamespace(time_ns=lambda: 1_800_000_000_000_000_000 + next(count) * 1_000_000)),
    ):
        yield
    random.setstate(before)


def lived(vendor: str, seed: int) -> Report:
    """Live through one seed."""
    return World(vendor, seed).run()
