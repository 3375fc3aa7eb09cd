"""Everything there is in one seed, built from it: vendors, links, gateways, and what runs between them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from random import Random

from services.gateway.records import Link
from services.gateway.store.integration_rows import Integration
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
from tests.convergence.vendor import Touch, VendorSystem
from tests.convergence.witness import Witness
from tests.simulation.loop import SimLoop
from tests.simulation.surroundings import Surroundings

_POLL_SECONDS = 2.0
_POINTS_A_SEED = 3


@cache
def manifests() -> Mapping[str, Manifest]:
    """Return every vendor's manifest, as their folders have it."""
    return {name: vendor.manifest for name, vendor in load_vendors().items()}


class Site:
    """One wedding, two or three vendors' accounts linked to it, one or two gateways."""

    def __init__(self, vendor: str, seed: int) -> None:
        chance = Random(f"{vendor} {seed}")  # noqa: S311  # nobody must not guess it
        self.chance = chance
        self.around = Surroundings(SimLoop(chance.random), chance, drawn(seed, chance, _POINTS_A_SEED))
        self.tables, self.canon = Tables(clock=self.around), Canon(self.around)
        self.lines = {line.system.name: line for line in self._draw_lines(vendor)}
        self.links = {name: self._link(number, name) for number, name in enumerate(self.lines)}
        self.gateways = [self._gateway(f"g{n}") for n in range(chance.choice((1, 1, 2)))]
        self.post = Post(self.around, self.gateways, lost=chance.choice((0.1, 0.1, 1.0)), late=0.05)
        self.courier = Courier(self.around, self.canon, self.gateways)
        self.people = People.of(chance, self.canon, [line.system for line in self.lines.values()])
        self.witnesses = [self._witness(name) for name in self.lines]

    def trouble(self) -> None:
        """Have something happen to a whole part of it, now and then."""
        line = self.chance.choice(list(self.lines.values()))
        match self.chance.randrange(20):
            case 0:
                line.down = True
            case 1:
                line.locked = self.chance.random() < 0.3
            case 2:
                line.down = line.locked = False
            case 3:
                self.courier.slow = not self.courier.slow
            case 4:
                self.around.note(self.gateways[0], "dies")
                self.around.faults.struck["gateway dies"] += 1
                self.gateways[0].kill()
            case _:
                pass

    def heal(self) -> None:
        """End all that is wrong."""
        self.around.note(None, "healed")
        self.around.faults.over, self.courier.slow, self.post.lost = True, False, 0.0
        for line in self.lines.values():
            line.heal()
        for gateway in self.gateways:
            gateway.thaw()

    def help(self) -> None:
        """Have people do what they are asked to: let links go on, and try again what is parked."""
        for link in self.links.values():
            self.tables.links[link.link_id] = link
            self.tables.later(link.link_id, 0.0)
        for row in self.tables.deliveries.values():
            if row.state == "parked":
                row.state, row.attempts = "due", 0
        for name, record_id in self._parked():
            self.lines[name].system.discard_double(record_id)
            self.post.send(self.post.arrival(self.links[name], [record_id]))

    def repeat(self) -> None:
        """Have everything come once more: what is days late, hints at every record, every delivery."""
        for arrival in self.post.very_late:
            self.post.send(arrival)
        for name, link in self.links.items():
            self.post.tell(link, self.lines[name].system.manifest, list(self.lines[name].system.records))
        for row in self.tables.deliveries.values():
            row.state = "due" if row.state != "parked" else row.state

    def busy(self) -> list[str]:
        """Return what is still under way."""
        due = [f"due: {row.reason}" for row in self.tables.deliveries.values() if row.state == "due"]
        pending = ["a change" for row in self.tables.activities if row.state == "pending"]
        carried = ["a commit"] * len(self.canon.outbox) + ["a webhook"] * len(self.tables.waiting)
        landing = ["a late write" for line in self.lines.values() if line.landing]
        on_its_way = ["a webhook on its way"] if self.post.under_way else []
        return [*due, *pending, *carried, *landing, *on_its_way]

    def state(self) -> tuple[int, ...]:
        """Return what rises with everything that happens."""
        writes = (line.system.count() for line in self.lines.values())
        return (len(self.canon.log), len(self.tables.activities), *writes)

    def wrong(self) -> list[str]:
        """Return what must not be so, now that all is quiet."""
        seen = [words for witness in self.witnesses for words in witness.wrong]
        return self.tables.complaints + seen + [words for name in self.links for words in self._wrong(name)]

    def _wrong(self, name: str) -> Iterator[str]:
        link, system = self.links[name], self.lines[name].system
        for words in (
            *differences(self.canon, self.tables, link, system),
            *untold(self.canon, self.tables, link, system),
            *doubled(self.tables, link, system),
        ):
            yield f"{name}: {words}"

    def _parked(self) -> list[tuple[str, str]]:
        """Return the records that are parked, each once; they are read again."""
        parked: dict[tuple[str, str], None] = {}
        for arrival in self.tables.webhooks:
            if self.tables.finished.get(arrival.webhook_id, ("",))[0] == "parked":
                self.tables.finished[arrival.webhook_id] = ("replayed", "")
                of = [arrival.record_id] if arrival.record_id else json.loads(arrival.body)["records"]
                parked |= {(arrival.endpoint.vendor, record_id): None for record_id in of}
        return list(parked)

    def _draw_lines(self, vendor: str) -> Iterator[Line]:
        wanted = manifests()[vendor]
        others = [m for m in manifests().values() if m.kinds.keys() & wanted.kinds.keys()]
        chosen = self.chance.sample(others, min(len(others), self.chance.choice((1, 2))))
        for number, manifest in enumerate([wanted, *chosen]):
            # Without channels: what they tell is that a poll is due, and polls come often enough here.
            plain = replace(manifest, push=None).with_poll_interval(_POLL_SECONDS)
            habits = Habits.drawn(self.chance, manifest.versions)
            yield Line(self.around, VendorSystem(f"{manifest.vendor} {number}", plain, habits, self.chance))

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

        self.around.later(0.2 + self.chance.random() * 3.0, start)

    def _witness(self, name: str) -> Witness:
        system = self.lines[name].system
        witness = Witness(self.canon, self.tables, self.links[name], system)
        system.on_touch += [witness.touched, partial(self._tell, name)]
        self.canon.on_ask.append(witness.asked)
        self.canon.on_log.append(witness.logged)
        return witness

    def _tell(self, name: str, touch: Touch) -> None:
        system, record = self.lines[name].system, touch.record
        shown = [system.whole(record)] if touch.after is not None and record.in_scope else []
        self.post.tell(self.links[name], system.manifest, [record.record_id], shown)
