"""One fault round the gateway: vendors are at work meanwhile, and in the end all have one truth."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from tests.faults.gateway_judge import require_heard, require_in_step
from tests.faults.gateway_site import GatewaySite
from tests.faults.load import Crowd
from tests.faults.relay import Relay
from tests.faults.report import Line
from tests.faults.trial import Trial, open_collisions, running_trial
from tests.faults.vendor_people import TELLS, Vendor, open_vendor
from wedsync.client import CALLER, GatewayClient, SyncClient, open_channel
from wedsync.convert import item_from_message
from wedsync.model.changes import Change, ChangeKind, ItemState
from wedsync.model.ids import new_id
from wedsync.model.items import LIFE
from wedsync.testing.faults import Fault

PATIENCE_SECONDS = 240.0
"""Within which all is worked off, also on a busy machine: what a dead gateway had taken on is free again
after a minute at most, and what came meanwhile waits behind it.
"""
_START_SECONDS = 40.0
ALWAYS = 1_000_000
"""So often faults happen that last."""
_MET = 4
"""Calls to each vendor while it is faulty. Garbage that lasts much longer has records parked, rightly."""
_ROUNDS = 8
_HELD_BY_ALL = ("tentative", "confirmed")
"""No calendar can be told that an event is cancelled."""

_THOUGHT_PER_WEDDING, _THOUGHT_PER_VENDOR = 1.5, 0.6
"""Seconds that planners and vendors' people think at most: the more there are, the longer each thinks.

More than in trials of the sync service alone, since each edit goes to several vendors.
"""


class GatewayTrial:
    """The load and the fault, as a test steers them."""

    def __init__(
        self, site: GatewaySite, trial: Trial, relay: Relay, vendors: Sequence[Vendor], client: GatewayClient
    ) -> None:
        self.site, self.trial, self.relay, self.vendors = site, trial, relay, vendors
        self._client, self._over = client, asyncio.Event()
        self._people: list[asyncio.Task[None]] = []

    @property
    def weddings(self) -> Sequence[str]:
        """Return the weddings under load."""
        return self.trial.weddings

    def begin(self) -> None:
        """Note that the fault begins now."""
        self.trial.begin()

    async def until(self, done: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """Wait for a condition that is asked in a thread; fail, too, if the load breaks down."""
        deadline = time.monotonic() + seconds
        while not (found := await asyncio.to_thread(done)):
            self.trial.load.require_running()
            for task in self._people:
                if task.done():
                    task.result()
            assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}; {await self._state()}"
            await asyncio.sleep(0.1)
        return found

    async def kill(self, point: str, *, leases_end: bool = False) -> None:
        """Have the gateway killed there, and started again, perhaps after its leases have run out."""
        before = self.site.gateway.pid
        assert await self.site.bench.crash(self.trial, point) == before
        await asyncio.to_thread(self.site.gateway.child.exited, 10)
        if leases_end:
            await asyncio.to_thread(self.site.leases_end)
        await asyncio.to_thread(self.site.gateway.start)
        assert self.site.gateway.pid != before

    async def recovered(self) -> None:
        """Wait until all of before now is worked off, and each vendor is again read, heard and written to."""
        since = await asyncio.to_thread(self.site.now)
        await self.until(lambda: not self.site.still(self.weddings, since), "each vendor is in step")
        await self.until(lambda: not self.site.under_way(self.weddings, since), "the backlog is worked off")
        self.trial.recovery = time.monotonic() - self.trial.fault_at

    @contextlib.asynccontextmanager
    async def vendors_answer(self, faults: Callable[[], Sequence[Fault]]) -> AsyncIterator[None]:
        """Have our calls to every vendor meet these faults; see that each vendor's did before it goes on."""
        added = [list(faults()) for _ in self.vendors]
        for vendor, each in zip(self.vendors, added, strict=True):
            vendor.proxy.script.add(*each)
        yield
        await self.until(lambda: all(map(_enough, added)), "every vendor was called meanwhile")
        for vendor in self.vendors:
            vendor.proxy.script.faults.clear()
        for same in zip(*added, strict=True):
            assert any(fault.times < ALWAYS for fault in same), "each of the faults happened"

    async def link(self) -> None:
        """Link every vendor, and let their people begin."""
        since = await asyncio.to_thread(self.site.now)
        for vendor in self.vendors:
            await self._link(vendor)
        names = self.weddings
        await self.until(
            lambda: not self.site.unseen(names, since), "each vendor was looked at", _START_SECONDS
        )
        await self.until(lambda: not self.site.pushless(names, TELLS), "channels are open", _START_SECONDS)
        self._people = [asyncio.create_task(vendor.work(self._over)) for vendor in self.vendors]
        since = await asyncio.to_thread(self.site.now)
        await self.until(lambda: not self.site.still(names, since), "edits go both ways", _START_SECONDS)

    async def _link(self, vendor: Vendor) -> None:
        credentials = vendor.bench.credentials
        connected = await self._client.connect_vendor(
            vendor.name, credentials=credentials, base_url=vendor.proxy.before(vendor.bench.base_url)
        )
        vendor.integration_id = connected.integration.integration_id
        link = await self._client.link_wedding(
            vendor.wedding_id, vendor.integration_id, scope=vendor.bench.scope
        )
        vendor.link_id = link.link_id
        if connected.webhook_path:
            await vendor.bench.tell(self.relay.url + connected.webhook_path)

    async def finish(self) -> None:
        """Let everybody stop, bring disagreements to an end, and see that all comes to rest."""
        self._over.set()
        await asyncio.gather(*self._people)
        await self.trial.load.finish()
        await self._settle()
        await self._rest()
        await self._settle()

    async def judge(self) -> None:
        """Fail unless every vendor has the truth once, no edit of theirs is lost, no webhook forgotten."""
        for vendor in self.vendors:
            await require_in_step(self.site, vendor)
            require_heard(self.site, vendor)
        known = await asyncio.to_thread(self.site.webhooks, self.relay.accepted)
        assert known.keys() == self.relay.accepted
        left = [(state, why) for state, why in known.values() if state != "processed"]
        assert all(state == "parked" and why for state, why in left), left

    async def _settle(self) -> None:
        """Have planners insist on what stands wherever there is a disagreement, until there is none."""
        async with open_channel(self.site.sync.target, api_key=self.site.keys.studio) as channel:
            sync = SyncClient(channel)
            for _ in range(_ROUNDS):
                await self.until(lambda: self.site.is_quiet(self.weddings), "all is quiet")
                decided = [await self._decide(sync, wedding) for wedding in self.weddings]
                if not any(decided):
                    return
        raise AssertionError("disagreements come to no end")

    async def _decide(self, sync: SyncClient, wedding: str) -> int:
        messages = [message async for message in sync.list_items(wedding, show_deleted=True)]
        items = {message.item_id: item_from_message(message) for message in messages}
        places = [(items[item_id], path) for _, item_id, path in open_collisions(items)]
        changes = [_insisting(item, path) for item, path in places if path == LIFE or not item.deleted]
        if changes:
            await self.trial.load.recorder.call(
                lambda: sync.apply_changes(wedding, changes),
                client="who settles it",
                wedding_id=wedding,
                changes=changes,
            )
        return len(changes)

    async def _rest(self) -> None:
        """Look at everything anew until nothing comes of it, at the wedding or at a vendor."""
        for _ in range(_ROUNDS):
            before = self.moves()
            for vendor in self.vendors:
                if "forget_cursors" not in vendor.bench.cannot:
                    vendor.bench.forget_cursors()
            since = await asyncio.to_thread(self.site.now)
            for vendor in self.vendors:
                await self._client.sync_now(vendor.link_id)
            await self.until(lambda at=since: not self.site.unseen(self.weddings, at), "all is looked at")  # type: ignore[misc]
            await self.until(lambda: self.site.is_quiet(self.weddings), "all is quiet")
            if self.moves() == before:
                return
        raise AssertionError("it comes to no rest")

    def moves(self) -> tuple[int, ...]:
        """Return how much came of each vendor, and how much was written to it."""
        sent = [len(self.site.sent(vendor.link_id)) for vendor in self.vendors]
        return (*sent, *(vendor.writes() for vendor in self.vendors))

    async def close(self) -> None:
        """Let nothing of the trial go on."""
        for task in self._people:
            task.cancel()
        await asyncio.gather(*self._people, return_exceptions=True)
        for vendor in self.vendors:
            if vendor.integration_id:
                await self._client.disconnect_vendor(vendor.integration_id)

    async def _state(self) -> str:
        under_way = await asyncio.to_thread(self.site.under_way, self.weddings)
        return f"under way: {under_way}"


@contextlib.asynccontextmanager
async def running_gateway_trial(
    site: GatewaySite, weddings: Sequence[Sequence[str]], *, fault: str, lines: list[Line]
) -> AsyncIterator[GatewayTrial]:
    """Put weddings, each with the vendors named, under load; at the end stop, judge, and report."""
    async with contextlib.AsyncExitStack() as stack:
        if site.gateway.child.pid is None:  # an earlier trial ended too early
            await asyncio.to_thread(site.gateway.start)
        relay = Relay(f"http://127.0.0.1:{site.http_port}")
        await stack.enter_async_context(relay.running(site.relay_port))
        channel = await stack.enter_async_context(open_channel(site.gateway.target, api_key=site.keys.studio))
        crowd = Crowd(
            weddings=len(weddings),
            seed=3,
            vendors=False,
            status=_HELD_BY_ALL,
            longest_thought=_THOUGHT_PER_WEDDING * len(weddings),
        )
        async with running_trial(site, [site.sync.target], crowd, fault=fault, lines=lines) as trial:
            many = sum(map(len, weddings))
            places = list(zip(trial.weddings, weddings, strict=True))
            vendors = [
                await stack.enter_async_context(
                    open_vendor(name, wedding, seed=number, longest_thought=_THOUGHT_PER_VENDOR * many)
                )
                for wedding, names in places
                for number, name in enumerate(names)
            ]
            own = GatewayTrial(site, trial, relay, vendors, GatewayClient(channel))
            stack.push_async_callback(own.close)
            await own.link()
            yield own
            await own.finish()
            await own.judge()


def _enough(faults: Sequence[Fault]) -> bool:
    return sum(ALWAYS - fault.times for fault in faults) >= _MET


def _insisting(item: ItemState, path: str) -> Change:
    kind, values = ChangeKind.UPDATE, {path: item.value(path)}
    if path == LIFE:
        kind, values = (ChangeKind.DELETE if item.deleted else ChangeKind.RESTORE), {}
    return Change(
        change_id=new_id(),
        item_id=item.item_id,
        item_kind=item.kind,
        kind=kind,
        source=CALLER,
        values=values,
    )
