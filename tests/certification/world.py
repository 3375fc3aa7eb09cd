"""One vendor's account linked to one wedding by a running gateway, with a proxy on each side of it.

people ──► vendor ──► relay ──► gateway ──► proxy ──► vendor
│ ▲
▼ │
the wedding
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import DictRow

from services.gateway.vendors.manifest import Manifest
from tests.certification.bench import Bench, Hands
from tests.support.fake_sync import FakeSync
from tests.support.gateway_process import ORGANIZATION, Gateway, until
from wedsync.api.gateway.v1 import link_pb2
from wedsync.client import CommitsClient, GatewayClient
from wedsync.model.changes import Change, ItemState
from wedsync.model.items import FieldValue, ItemKind
from wedsync.testing.faults import Asked, Fault, FaultProxy, Script

PATIENCE = 30.0
"""Seconds within which both sides agree, whatever was wrong before."""

_UNDER_WAY = """
    SELECT 1 FROM gateway.vendor_activities WHERE link_id = %(link)s AND state = 'pending'
    UNION ALL
    SELECT 1 FROM gateway.vendor_deliveries WHERE link_id = %(link)s AND state = 'due'
    UNION ALL
    SELECT 1 FROM gateway.webhook_log WHERE integration_id = %(integration)s AND state = 'received'
"""

_SCANNED_AT = "SELECT scanned_at FROM gateway.wedding_vendor_integrations WHERE id = %(link)s"


@dataclass(frozen=True)
class Site:
    """What all worlds share: the gateway, who calls it, and the relay before it."""

    gateway: Gateway
    client: GatewayClient
    commits: CommitsClient
    relay: FaultProxy
    tables: psycopg.AsyncConnection[DictRow]

    @property
    def sync(self) -> FakeSync:
        """Return where the weddings are."""
        return self.gateway.sync


class World:
    """A wedding that is linked to a vendor, and everybody who changes something in either."""

    def __init__(
        self, site: Site, manifest: Manifest, kind: ItemKind, bench: Bench, proxy: FaultProxy
    ) -> None:
        self.site, self.manifest, self.kind, self.bench, self.proxy = site, manifest, kind, bench, proxy
        self.wedding_id = site.sync.add_wedding(ORGANIZATION)
        self.integration_id = self.link_id = ""
        self._handed_over = len(site.sync.commits)
        self._received = len(site.sync.received)

    @property
    def hands(self) -> Hands:
        """Return the people who work at the vendor."""
        return self.bench.hands[self.kind]

    @property
    def script(self) -> Script:
        """Return what our calls to the vendor meet."""
        return self.proxy.script

    @property
    def relay(self) -> FaultProxy:
        """Return what the vendor's webhooks pass through."""
        return self.site.relay

    async def connect(self) -> None:
        """Connect the account, link it, and have the vendor told of our address."""
        connected = await self.site.client.connect_vendor(
            self.manifest.vendor,
            credentials=self.bench.credentials,
            base_url=self.proxy.before(self.bench.base_url),
        )
        self.integration_id = connected.integration.integration_id
        link = await self.site.client.link_wedding(
            self.wedding_id, self.integration_id, scope=self.bench.scope
        )
        self.link_id = link.link_id
        if connected.webhook_path:
            await self.bench.tell(self.relay.url + connected.webhook_path)
        await self.looked()

    async def disconnect(self) -> None:
        """Let nothing go on that concerns this world."""
        await self.site.client.pause_link(self.link_id)

    # What our side does.

    async def create(self, text: str, **but: FieldValue) -> str:
        """Let a planner make an item; return its id."""
        return await self._edit({**self.hands.values(text), **but})

    async def edit(self, item_id: str, text: str = "", **but: FieldValue) -> None:
        """Let a planner change an item."""
        await self._edit({**({self.hands.field: text} if text else {}), **but}, item_id=item_id)

    async def delete(self, item_id: str) -> None:
        """Let a planner delete an item."""
        await self._edit({}, item_id=item_id, delete=True)

    async def _edit(self, values: Mapping[str, FieldValue], **more: Any) -> str:
        commit = await self.site.sync.edit(self.wedding_id, values, kind=self.kind, **more)
        await self.hand_over()
        return commit.item.item_id

    async def hand_over(self) -> None:
        """Give the gateway what was committed since the last time, as the sync service does."""
        commits, self._handed_over = self.site.sync.commits[self._handed_over :], len(self.site.sync.commits)
        if own := [commit for commit in commits if commit.wedding_id == self.wedding_id]:
            await self.site.commits.accept_commits(own)

    # What there is.

    def items(self) -> dict[str, ItemState]:
        """Return the wedding's items of the kind that are not deleted, by id."""
        commits = [commit for commit in self.site.sync.commits if commit.wedding_id == self.wedding_id]
        named = {commit.item.item_id for commit in commits}
        items = [self.site.sync.items[name] for name in named]
        return {item.item_id: item for item in items if item.kind is self.kind and not item.deleted}

    def item(self, text: str) -> str:
        """Return the id of the item with that text."""
        [found] = [name for name, item in self.items().items() if item.value(self.hands.field) == text]
        return found

    async def record(self, text: str) -> str:
        """Return the id of the vendor's record with that text."""
        [found] = [name for name, kept in (await self.hands.texts()).items() if kept == text]
        return found

    def changes(self) -> list[Change]:
        """Return the vendor's changes that were applied to the wedding's items of the kind, in order."""
        applied = [change for change in self.site.sync.applied if change.source.link_id == self.link_id]
        return [change for change in applied if change.item_kind is self.kind]

    def writes(self) -> list[Asked]:
        """Return our requests to change a record that reached the vendor."""
        return [asked for asked in self.script.asked if asked.passed and self.bench.is_write(asked)]

    def fail(self, **fault: Any) -> Fault:
        """Let the next writes meet a fault; return it, so that it can be ended."""
        made = Fault(**{"on": self.bench.is_write, **fault})
        self.script.add(made)
        return made

    async def sql(self, query: str) -> list[DictRow]:
        """Ask the gateway's tables; `link` and `integration` are ours."""
        own = {"link": self.link_id, "integration": self.integration_id}
        return await (await self.site.tables.execute(query.encode(), own)).fetchall()

    async def link(self) -> link_pb2.Link:
        """Return how the link is doing."""
        links = await self.site.client.list_links(self.wedding_id)
        return next(link for link in links if link.link_id == self.link_id)

    # What is waited for.

    async def looked(self) -> None:
        """Have the gateway ask the vendor what moved, and wait until it has."""
        before = await self._scanned_at()
        await self.site.client.sync_now(self.link_id)

        async def again() -> bool:
            return await self._scanned_at() != before

        await self.until(again, "the vendor was looked at")

    async def quiet(self) -> None:
        """Wait until nothing is under way any more."""
        await self.until(self._is_quiet, "nothing is under way")

    async def agree(self, *texts: str) -> None:
        """Wait until both sides have just these records, and see that they stay so."""
        await self.until(lambda: self._agrees(texts), f"both sides have just {sorted(texts)}")
        writes, changes = len(self.writes()), len(self.changes())
        await self.looked()
        await self.quiet()
        assert await self._agrees(texts)
        assert (len(self.writes()), len(self.changes())) == (writes, changes), "something goes on for ever"

    async def until(self, condition: Callable[[], bool | Awaitable[bool]], what: str) -> None:
        """Wait for a condition; if it does not come, say what stood in its way."""
        try:
            await until(condition, what, PATIENCE)
        except AssertionError as error:
            error.add_note(await self._state())
            raise

    async def _is_quiet(self) -> bool:
        await self.hand_over()
        return not await self.sql(_UNDER_WAY)

    async def _agrees(self, texts: Sequence[str]) -> bool:
        if not await self._is_quiet():
            return False
        ours = sorted(str(item.value(self.hands.field)) for item in self.items().values())
        return ours == sorted(texts) == sorted((await self.hands.texts()).values())

    async def _scanned_at(self) -> object:
        [row] = await self.sql(_SCANNED_AT)
        return row["scanned_at"]

    async def _state(self) -> str:
        link = await self.link()
        return "\n".join(
            [
                f"the link is {link_pb2.LinkState.Name(link.state)} {link.reason}",
                f"ours: {[item.value(self.hands.field) for item in self.items().values()]}",
                f"theirs: {await self.hands.texts()}",
                *(f"asked: {asked}" for asked in self.script.asked[-12:]),
            ]
        )
