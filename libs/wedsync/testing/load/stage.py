"""What a load plays on: weddings with records at several vendors, made and linked as customers would.

Weddings belong to studios, of which each has an account at every vendor; every record is edited by people at
one vendor, its home, and must be brought to all others.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from wedsync.client import wedding_message
from wedsync.model.ids import new_id
from wedsync.testing.load import marks
from wedsync.testing.load.plan import Origin
from wedsync.testing.load.programs import Sink
from wedsync.testing.load.target import Target

VENDOR = "partner_api"
STUDIO_WEDDINGS = 25
"""How many weddings share their accounts: a season of one photographer."""
DAY = "2027-06-12"
RECORDS = 2
"""Of each wedding."""
_AT_ONCE = 8
_TRIES = 10
_SETTLE_SECONDS, _SETTLE_SECONDS_EACH = 60.0, 0.25
_LOOK_SECONDS = 0.25

_Made = TypeVar("_Made")
Grow = Callable[[str], Awaitable[None]]
"""Does something to a wedding, given its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How much there is of everything."""

    weddings: int
    fan_out: int
    studio_weddings: int = STUDIO_WEDDINGS
    records: int = RECORDS
    day: str = DAY
    """When all of them take place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A studio's account at one vendor, connected."""

    name: str
    integration_id: str
    path: str
    secret: str
    key: str
    """The API key of the organization it belongs to."""


@dataclass(slots=True, kw_only=True)
class Wedding:
    """A wedding and its vendors' accounts, in which a collection bears its id."""

    wedding_id: str
    key: str
    accounts: Sequence[Account]
    numbers: Sequence[int]
    """Of its records, counted over all weddings."""
    links: list[str] = field(default_factory=list)

    def home(self, number: int) -> Account:
        """Return where a record is edited by people."""
        return self.accounts[number % len(self.accounts)]


@dataclass(slots=True)
class Stage:
    """Everything that was made."""

    target: Target
    sink: Sink
    weddings: list[Wedding]
    accounts: list[Account]

    async def origins(self, weddings: Iterable[Wedding] | None = None) -> list[Origin]:
        """Return the records as their homes show them now."""
        shown: dict[int, tuple[str, int, int]] = {}
        homes = {
            (wedding.home(number).name, wedding.wedding_id, number)
            for wedding in self.weddings
            for number in wedding.numbers
        }
        for account, collection, record_id, version, title in await self.sink.state():
            mark = marks.read(title)
            if mark and (account, collection, mark[0]) in homes:
                shown[mark[0]] = (record_id, version, mark[1])
        chosen = self.weddings if weddings is None else weddings
        return [_origin(wedding, number, *shown[number]) for wedding in chosen for number in wedding.numbers]

    async def leave(self) -> None:
        """End every link and disconnect every account: nothing goes on working."""
        gateway = self.target.gateway
        links = ((wedding.key, link) for wedding in self.weddings for link in wedding.links)
        await _all(gateway.unlink_wedding(link, api_key=key) for key, link in links)
        await _all(gateway.disconnect_vendor(a.integration_id, api_key=a.key) for a in self.accounts)


@contextlib.asynccontextmanager
async def a_stage(target: Target, sink: Sink, shape: Shape, *, run: str) -> AsyncIterator[Stage]:
    """Make everything; at the end take down what was made, however far that came."""
    stage = Stage(target, sink, [], [])
    try:
        await _fill(stage, shape, run, None)
        yield stage
    finally:
        await stage.leave()


async def set_up(target: Target, sink: Sink, shape: Shape, *, run: str, grown: Grow | None = None) -> Stage:
    """Make everything, and wait until every record has arrived at every vendor.

    `grown` does what it likes with each wedding before it has vendors.
    """
    stage = Stage(target, sink, [], [])
    await _fill(stage, shape, run, grown)
    return stage


async def _fill(stage: Stage, shape: Shape, run: str, grown: Grow | None) -> None:
    target, sink, size = stage.target, stage.sink, shape.studio_weddings
    for studio, first in enumerate(range(0, shape.weddings, size)):
        key = target.keys[studio % len(target.keys)]
        accounts = await connected(target, sink, shape.fan_out + 1, f"{run}-{studio}", key)
        stage.accounts += accounts
        members = range(first, min(first + size, shape.weddings))
        weddings = [_wedding(number, shape, accounts, key) for number in members]
        await sink.seed(collections=[entry for w in weddings for entry in _collections(w)])
        stage.weddings += weddings
        await _all(_link(target, wedding, shape.day, grown) for wedding in weddings)
    await settled(sink, stage.weddings)


async def settled(sink: Sink, weddings: Sequence[Wedding]) -> None:
    """Wait until every record was created at every vendor but its home."""
    wanted = {
        (account.name, wedding.wedding_id, number)
        for wedding in weddings
        for number in wedding.numbers
        for account in wedding.accounts
        if account is not wedding.home(number)
    }
    looked = 0
    async with asyncio.timeout(_SETTLE_SECONDS + _SETTLE_SECONDS_EACH * len(wanted)):
        while True:
            arrivals = await sink.arrivals()
            wanted -= {(account, place, of) for _, account, place, _, of, _ in arrivals[looked:]}
            if not wanted:
                return
            looked = len(arrivals)
            await asyncio.sleep(_LOOK_SECONDS)


def record(number: int, *, record_id: str = "") -> dict[str, Any]:
    """Return a record as the people at its home made it."""
    return {
        "id": record_id or f"toast-{number}",
        "version": 1,
        "kind": "timeline_event",
        "updated_at": "2027-01-04T09:00:00Z",
        "fields": {
            "title": marks.title(number, 0),
            "starts_at": {"local": "2027-06-12T15:00:00", "zone": "Europe/Paris"},
            "ends_at": {"local": "2027-06-12T16:00:00", "zone": "Europe/Paris"},
            "location": "Orangery, ground floor",
            "notes": "Bring the rings. The quartet plays from half past two.",
        },
    }


async def connected(target: Target, sink: Sink, vendors: int, studio: str, key: str) -> list[Account]:
    """Connect a studio's account at so many vendors."""
    names = [f"{studio}-{vendor}" for vendor in range(vendors)]
    await sink.seed(accounts={name: _token(name) for name in names})
    return await _all(
        _connect(target, sink.base_url(vendor, name), name, key) for vendor, name in enumerate(names)
    )


async def _connect(target: Target, base_url: str, name: str, key: str) -> Account:
    secret = "whsec_" + base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()
    credentials = {"token": _token(name), "webhook_secret": secret}
    answer = await target.gateway.connect_vendor(
        VENDOR, credentials=credentials, base_url=base_url, api_key=key
    )
    return Account(
        name=name,
        integration_id=answer.integration.integration_id,
        path=answer.webhook_path,
        secret=secret,
        key=key,
    )


def _token(account: str) -> str:
    return f"token-of-{account}"


def _wedding(number: int, shape: Shape, accounts: Sequence[Account], key: str) -> Wedding:
    numbers = range(number * shape.records, (number + 1) * shape.records)
    return Wedding(wedding_id=new_id(), key=key, accounts=accounts, numbers=numbers)


def _collections(wedding: Wedding) -> list[tuple[str, str, list[dict[str, Any]]]]:
    at_home: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for number in wedding.numbers:
        at_home[wedding.home(number).name].append(record(number))
    return [(account.name, wedding.wedding_id, at_home[account.name]) for account in wedding.accounts]


async def _link(target: Target, wedding: Wedding, day: str, grown: Grow | None) -> None:
    message = wedding_message("Okafor", day, "Europe/Paris", wedding_id=wedding.wedding_id)
    await target.sync.create_wedding(message, api_key=wedding.key)
    if grown is not None:
        await grown(wedding.wedding_id)
    for account in wedding.accounts:
        link = await target.gateway.link_wedding(
            wedding.wedding_id,
            account.integration_id,
            scope={"collection_id": wedding.wedding_id},
            api_key=wedding.key,
        )
        wedding.links.append(link.link_id)


def _origin(wedding: Wedding, number: int, record_id: str, version: int, edit: int) -> Origin:
    home = wedding.home(number)
    return Origin(
        number=number,
        wedding_id=wedding.wedding_id,
        account=home.name,
        collection=wedding.wedding_id,
        record={**record(number, record_id=record_id), "version": version},
        first_edit=edit + 1,
        path=home.path,
        secret=home.secret,
        copies=[(account.name, wedding.wedding_id) for account in wedding.accounts if account is not home],
    )


async def _all(calls: Iterable[Awaitable[_Made]]) -> list[_Made]:
    """Make the calls, a few at a time."""
    free = asyncio.Semaphore(_AT_ONCE)

    async def one(call: Awaitable[_Made]) -> _Made:
        async with free:
            return await call

    return list(await asyncio.gather(*map(one, calls)))
