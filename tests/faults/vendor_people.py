"""Vendors' systems on this machine, and the people who work in them while everything else goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, Self

from yarl import URL

from tests.certification.bench import Bench, Hands
from tests.certification.vendors import google_calendar, outlook_calendar, tave
from wedsync.model.items import ItemKind
from wedsync.testing.faults import FaultProxy

_MOST_MADE, _MOST_REMOVED = 10, 2
"""A vendor who deletes many records at once is asked about, which is proven elsewhere."""

TELLS = ("google_calendar", "outlook_calendar")
"""Those with whom we open push channels."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One record as the vendor's own system shows it."""

    text: str
    location: str | None = None


@dataclass
class Vendor:
    """One account that is linked to a wedding, and a proxy between the gateway and it."""

    name: str
    wedding_id: str
    bench: Bench
    proxy: FaultProxy
    kind: ItemKind
    random: Random
    longest_thought: float
    """How many seconds people here think between two edits at most."""
    link_id: str = ""
    integration_id: str = ""
    said: dict[str, str] = field(default_factory=dict)
    """What people wrote last into each record that they did not remove."""
    made: set[str] = field(default_factory=set)
    """The records that people made and did not remove."""
    removed: int = 0
    edits: int = 0

    @property
    def hands(self) -> Hands:
        """Return the people who work here."""
        return self.bench.hands[self.kind]

    @property
    def label(self) -> str:
        """Return how everything begins that people write here, and nowhere else."""
        return f"{self.name} {self.wedding_id[-4:]}"

    @property
    def most_removed(self) -> int:
        """Return how many records people may remove."""
        return 0 if "remove" in self.hands.cannot else _MOST_REMOVED

    def of(self, kind: ItemKind) -> Self:
        """Return the same account, looked at for another kind of record."""
        other = copy(self)
        other.kind = kind
        return other

    @property
    def refuses_stale_writes(self) -> bool:
        """Say whether the vendor itself keeps a write of ours from covering an edit that we had not seen."""
        return self.name != "tave"

    def writes(self) -> int:
        """Return how many records we have written so far."""
        asked = self.proxy.script.asked
        return sum(200 <= each.said < 300 and self.bench.is_write(each) for each in asked)

    async def shown(self) -> Mapping[str, Shown]:
        """Return every record there is."""
        places = _places(self.hands)
        return {key: Shown(text, places.get(key)) for key, text in (await self.hands.texts()).items()}

    async def work(self, over: asyncio.Event) -> None:
        """Make, change and remove records until it is over."""
        while not over.is_set():
            await asyncio.sleep(self.random.random() * self.longest_thought)
            # What is deleted under somebody's hands they cannot change any more.
            with contextlib.suppress(AssertionError):
                await self._act()

    async def _act(self) -> None:
        known, dice = list(await self.hands.texts()), self.random.random()
        text = f"{self.label} {self.edits}"
        if len(self.made) < _MOST_MADE and (len(known) < 3 or dice < 0.25):
            record = await self.hands.make(text)
            self.made.add(record)
        elif self.removed < self.most_removed and dice < 0.3:
            record = self.random.choice(known)
            self.removed += 1
            self.said.pop(record, None)
            self.made.discard(record)
            await self.hands.remove(record)
            return
        elif known:
            record = self.random.choice(known)
            await self.hands.edit(record, text)
        else:
            return
        self.said[record] = text
        self.edits += 1


@contextlib.asynccontextmanager
async def open_vendor(
    name: str, wedding_id: str, *, seed: int, longest_thought: float
) -> AsyncIterator[Vendor]:
    """Run a vendor's system with an empty account."""
    module = import_module(f"tests.certification.vendors.{name}")
    async with contextlib.AsyncExitStack() as stack:
        account = await stack.enter_async_context(module.system(Path()))
        bench: Bench = await stack.enter_async_context(account())
        proxy = await stack.enter_async_context(FaultProxy(str(URL(bench.base_url).origin())).running())
        random, kind = Random(seed), next(iter(bench.hands))  # noqa: S311  # nothing is secret
        yield Vendor(name, wedding_id, bench, proxy, kind, random, longest_thought)


def own_id(record_id: str) -> str:
    """Return the vendor's own id of a record that we may know by its collection, too."""
    return record_id.rpartition("/")[2]


def _places(hands: Any) -> Mapping[str, str | None]:
    """Return where each event takes place, from what the vendor's system itself keeps."""
    match hands:
        case google_calendar.Events():
            return {key: event.get("location") for key, event in hands._calendar.events.items()}
        case outlook_calendar.Events():
            return {event["id"]: event["location"]["displayName"] for event in hands._sandbox.events()}
        case tave.Events():
            return {key: _street(event) for key, event in hands.studio.objects["event"].items()}
    return {}


def _street(event: Mapping[str, Any]) -> str | None:
    address = (event.get("location") or {}).get("address") or {}
    street: str | None = address.get("streetAddress")
    return street
