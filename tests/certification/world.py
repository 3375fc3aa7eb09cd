"""One vendor's account linked to one wedding by a running gateway, with a proxy on each side of it.

people ──► vendor ──► relay ──► gateway ──► proxy ──► vendor
│ ▲
▼ │
the wedding
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from typing import Any, Self

import psycopg
from psycopg.rows import DictRow

from services.gateway.store.links import WEBHOOK_SECRET
from services.gateway.vendors.manifest import KindRule, Manifest
from tests.certification.bench import READS, Bench, Hands
from tests.support.fake_sync import FakeSync
from tests.support.gateway_process import ORGANIZATION, Gateway, until
from wedsync.api.gateway.v1 import link_pb2
from wedsync.client import CommitsClient, GatewayClient
from wedsync.errors import FailedPrecondition
from wedsync.model.changes import Change, ItemState
from wedsync.model.items import FieldValue, ItemKind
from wedsync.testing.faults import Asked, FaultProxy, Script

PATIENCE = 20.0
"""Seconds within which both sides agree, whatever was wrong before."""
_LOOKS_PER_QUESTION = 10

_UNDER_WAY = """
    SELECT 1 FROM gateway.vendor_activities WHERE link_id = %(link)s AND state = 'pending'
    UNION ALL
    SELECT 1 FROM gateway.vendor_deliveries WHERE link_id = %(link)s AND state = 'due'
    UNION ALL
    SELECT 1 FROM gateway.webhook_log WHERE integration_id = %(integration)s AND state = 'received'
"""

_HURRY = (
    b"UPDATE gateway.vendor_deliveries SET not_before = '-infinity' WHERE link_id = %(link)s",
    b"UPDATE gateway.webhook_log SET not_before = '-infinity' WHERE integration_id = %(integration)s",
)
_PUSHED = "SELECT pushed_until FROM gateway.wedding_vendor_integrations WHERE id = %(link)s"
_LOOKED = """
    SELECT state = 'paused' OR scanned_at > %(since)s AND poll_failures = 0
           AND next_poll_at > clock_timestamp() AND poll_lease_until < clock_timestamp() AS looked
    FROM gateway.wedding_vendor_integrations WHERE id = %(link)s
"""


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
        self,
        site: Site,
        manifest: Manifest,
        kind: ItemKind,
        bench: Bench,
        proxy: FaultProxy,
        wedding_id: str = "",
    ) -> None:
        self.site, self.manifest, self.kind, self.bench, self.proxy = site, manifest, kind, bench, proxy
        self.wedding_id = wedding_id or site.sync.add_wedding(ORGANIZATION)
        self.integration_id = self.link_id = ""
        self._first = self._handed_over = len(site.sync.commits)

    def of(self, kind: ItemKind) -> Self:
        """Return the same world, looked at for another kind."""
        other = copy(self)
        other.kind = kind
        return other

    @property
    def rules(self) -> KindRule:
        """Return what the manifest says of the kind."""
        return self.manifest.kinds[self.kind]

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

    async def connect(self, *, told: bool = True) -> None:
        """Connect the account, link it, and have the vendor told of our address if we are to be `told`."""
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
        if told and connected.webhook_path:
            await self.bench.tell(self.relay.url + connected.webhook_path)
        await self.looked()

    async def connect_again(self) -> None:
        """Enter the credentials anew."""
        await self.site.client.update_integration(self.integration_id, credentials=self._credentials())
        await self.hurry()

    async def resume(self, *, believe_deletes: bool = False) -> None:
        """Let a paused link go on."""
        await self.site.client.resume_link(self.link_id, believe_deletes=believe_deletes)
        await self.hurry()

    async def hurry(self) -> None:
        """Let everything that waits be due now: how long it would wait is proven elsewhere."""
        for statement in _HURRY:
            await self.site.tables.execute(statement, self._names())

    async def disconnect(self) -> None:
        """Let nothing go on that concerns this world."""
        if self.integration_id:
            await self.site.client.disconnect_vendor(self.integration_id)

    # What our side does.

    async def create(self, text: str) -> str:
        """Let a planner make an item; return its id."""
        return await self._edit(self.hands.values(text))

    async def edit(self, item_id: str, text: str) -> None:
        """Let a planner give an item another text."""
        await self.set(item_id, self.hands.field, text)

    async def set(self, item_id: str, path: str, value: FieldValue) -> None:
        """Let a planner change a field of an item."""
        await self._edit({path: value}, item_id=item_id)

    async def change(self, item_id: str, values: Mapping[str, FieldValue]) -> None:
        """Let a planner change several fields of an item at once."""
        await self._edit(values, item_id=item_id)

    async def delete(self, item_id: str) -> None:
        """Let a planner delete an item."""
        await self._edit({}, item_id=item_id, delete=True)

    async def _edit(self, values: Mapping[str, FieldValue], **more: Any) -> str:
        commit = await self.site.sync.edit(self.wedding_id, values, kind=self.kind, **more)
        await self.hand_over()
        return commit.item.item_id

    async def shared(self, *texts: str) -> list[str]:
        """Have both sides keep records that we may change; return their items' ids."""
        for text in texts:
            await (self.create(text) if self.rules.create else self.hands.make(text))
        if not self.rules.create:
            await self.looked()
        await self.agree(*texts)
        self.script.asked.clear()
        return [self.item(text) for text in texts]

    async def hand_over(self) -> None:
        """Give the gateway what was committed since the last time, as the sync service does."""
        commits, self._handed_over = self.site.sync.commits[self._handed_over :], len(self.site.sync.commits)
        if own := [commit for commit in commits if commit.wedding_id == self.wedding_id]:
            await self.site.commits.accept_commits(own)

    # What there is.

    def items(self) -> dict[str, ItemState]:
        """Return the wedding's items of the kind that are not deleted, by id."""
        commits = self.site.sync.commits[self._first :]
        named = {commit.item.item_id for commit in commits if commit.wedding_id == self.wedding_id}
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
        """Return our requests to change a record that the vendor carried out."""
        done = [asked for asked in self.script.asked if 200 <= asked.said < 300]
        return [asked for asked in done if self.bench.is_write(asked)]

    def is_read(self, asked: Asked) -> bool:
        """Say whether a request of ours changes nothing."""
        return asked.method in READS

    async def sql(self, query: str, **values: Any) -> list[DictRow]:
        """Ask the gateway's tables; `link` and `integration` are ours."""
        return await (await self.site.tables.execute(query.encode(), self._names() | values)).fetchall()

    async def stopped(self) -> bool:
        """Say whether the link works no longer, without anybody having asked for it."""
        return (await self.link()).state == link_pb2.LINK_STATE_PAUSED

    async def link(self) -> link_pb2.Link:
        """Return how the link is doing."""
        links = await self.site.client.list_links(self.wedding_id)
        return next(link for link in links if link.link_id == self.link_id)

    # What is waited for.

    async def looked(self) -> None:
        """Have the gateway ask the vendor what moved, and wait until it has, or the link stops over it."""
        [now] = await self.sql("SELECT clock_timestamp() AS at")
        asked = 0

        async def done() -> bool:
            nonlocal asked
            # After a failure the gateway waits for a while, unless it is asked again.
            if asked % _LOOKS_PER_QUESTION == 0:
                await self.ask()
            asked += 1
            [row] = await self.sql(_LOOKED, since=now["at"])
            return bool(row["looked"])

        await self.until(done, "the vendor was looked at")

    async def reached(self) -> None:
        """Wait until the vendor can tell us what moves."""

        async def channelled() -> bool:
            [row] = await self.sql(_PUSHED)
            return row["pushed_until"] is not None

        if self.manifest.push:
            await self.until(channelled, "a push channel is open")

    async def ask(self) -> None:
        """Have the gateway ask the vendor soon, unless it has stopped doing so."""
        with suppress(FailedPrecondition):
            await self.site.client.sync_now(self.link_id)

    async def quiet(self) -> None:
        """Wait until nothing is under way any more."""
        await self.until(self._is_quiet, "nothing is under way")

    async def agree(self, *texts: str) -> None:
        """Wait until both sides have just these records, and see that they stay so."""
        await self.until(lambda: self._agrees(texts), f"both sides have just {sorted(texts)}")
        await self.rests()
        assert await self._agrees(texts)

    async def rests(self) -> None:
        """See that nothing more is written on either side, however often the vendor is looked at."""
        await self.quiet()
        writes, changes = len(self.writes()), len(self.changes())
        await self.looked()
        await self.quiet()
        assert (len(self.writes()), len(self.changes())) == (writes, changes), "it comes to no rest"

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

    def _names(self) -> dict[str, str]:
        return {"link": self.link_id, "integration": self.integration_id}

    def _credentials(self) -> dict[str, str]:
        """Return all but the word by which webhooks are believed, which has a call of its own."""
        entered = self.bench.credentials
        return {name: value for name, value in entered.items() if name != WEBHOOK_SECRET}

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


OpenWorld = Callable[..., Awaitable[World]]
"""Opens one more account of the vendor, for the wedding of that id if one is named."""
