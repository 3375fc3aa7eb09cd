"""From a link to the adapter that speaks to its vendor."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, cast

from services.gateway.calls.calls import Calls
from services.gateway.records import Link
from services.gateway.store.links import LinkStore
from services.gateway.vendor_http import VendorHttp
from services.gateway.vendors.field_rules import KindRule
from services.gateway.vendors.manifest import Manifest, Vendor
from services.gateway.vendors.port import (
    Account,
    PushPort,
    ShowingPort,
    VendorPort,
    VendorRecord,
    VendorRejected,
    VendorResting,
)
from wedsync.model.items import ItemKind

_KEPT = 8192
"""Adapters kept ready, and doors; they hold no state, so the oldest is simply forgotten."""

_Door = tuple[Account, VendorHttp]
"""An account as its vendor knows it, and through what it is called."""


class Ports:
    """Builds and keeps adapters. Without `calls` they call through the bare door."""

    def __init__(
        self,
        *,
        vendors: Mapping[str, Vendor],
        links: LinkStore,
        http: VendorHttp,
        calls: Calls | None = None,
    ) -> None:
        self._vendors, self._links, self._http, self._calls = vendors, links, http, calls
        self._open: OrderedDict[tuple[str, int], VendorPort] = OrderedDict()
        self._doors: OrderedDict[tuple[str, int], _Door] = OrderedDict()

    def manifest(self, vendor: str) -> Manifest:
        """Return the vendor's manifest."""
        return self._vendors[vendor].manifest

    def rules(self, vendor: str, kind: ItemKind) -> KindRule | None:
        """Return what the vendor can do with a kind of item, None for nothing."""
        return self.manifest(vendor).kinds.get(kind)

    def rest(self, link: Link) -> VendorResting | None:
        """Return why calling the link's account is not worth it now, None where it is."""
        return self._calls.rest(link.integration_id) if self._calls else None

    async def open(self, link: Link) -> VendorPort:
        """Return the adapter of a link. Raises `VendorRejected` if its integration is gone."""
        # One that was built with credentials of before is not asked for any more, and ages out.
        key = link.link_id, link.account_version
        port = self._open.get(key)
        if port is None:
            port = self._open[key] = self._adapter(link, await self._door(link))
            if len(self._open) > _KEPT:
                _, oldest = self._open.popitem(last=False)
                await oldest.aclose()
        self._open.move_to_end(key)
        return port

    async def try_out(self, link: Link) -> None:
        """Return if the vendor lets us in and knows the link's scope. Raises `VendorError`."""
        port = await self.build(link)
        try:
            await port.check()
        finally:
            await port.aclose()

    def pushing(self) -> frozenset[str]:
        """Return the vendors that have push channels."""
        return frozenset(name for name, vendor in self._vendors.items() if vendor.manifest.push)

    async def pusher(self, link: Link) -> PushPort:
        """Return the adapter of a link whose vendor has push channels: then it is a `PushPort` too."""
        return cast("PushPort", await self.open(link))

    async def shown(self, link: Link, event: Mapping[str, Any]) -> Mapping[str, VendorRecord]:
        """Return the records that a webhook event shows as a whole, by their ids."""
        inbound = self.manifest(link.vendor).inbound
        if inbound is None or not inbound.whole_records:
            return {}
        port = cast("ShowingPort", await self.open(link))
        return {record.record_id: record for record in port.shown(event)}

    async def build(self, link: Link) -> VendorPort:
        """Return a new adapter for a link that may not exist yet."""
        return self._adapter(link, await self._new_door(link))

    async def aclose(self) -> None:
        """Let go of every adapter."""
        while self._open:
            _, port = self._open.popitem()
            await port.aclose()
        self._doors.clear()

    def _adapter(self, link: Link, door: _Door) -> VendorPort:
        account, http = door
        vendor, scope = self._vendors[link.vendor], {**link.scope, "time_zone": link.time_zone}
        return vendor.create_adapter(http, vendor.manifest, account, scope)

    async def _door(self, link: Link) -> _Door:
        """Return the door of a link's account: all of its weddings use the same one."""
        key = link.integration_id, link.account_version
        door = self._doors.get(key)
        if door is None:
            door = self._doors[key] = await self._new_door(link)
            if len(self._doors) > _KEPT:
                self._doors.popitem(last=False)
        self._doors.move_to_end(key)
        return door

    async def _new_door(self, link: Link) -> _Door:
        integration = await self._links.integration([link.organization_id], link.integration_id)
        if integration is None or integration.disconnected_at is not None:
            raise VendorRejected("the integration is no longer connected")
        manifest, account = self.manifest(link.vendor), self._links.account(integration)
        if self._calls is None:
            return account, self._http
        account = self._calls.account(link.organization_id, account, manifest, version=integration.version)
        return account, self._calls.door(account, manifest)
