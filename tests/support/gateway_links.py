"""Links and accounts in memory, beside `gateway_fakes`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from services.gateway.records import IntentKind, Link, Shadow
from services.gateway.store.inbound import Endpoint
from services.gateway.store.integration_rows import Integration
from services.gateway.store.links import LinkStore, Match, endpoint_hash
from services.gateway.vendors.port import Account
from tests.support.gateway_memory import Memory


class MemoryLinks(LinkStore):
    """Integrations and links."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def connect(
        self, *, organization_id: str, request_id: str, vendor: str, account: Account, endpoint_key: str
    ) -> Integration:
        """Keep an account; the same request again returns the first one's."""
        memory = self._memory
        wanted = memory.requests.setdefault(request_id, account.integration_id)
        if wanted == account.integration_id:
            integration = Integration(
                integration_id=wanted,
                organization_id=organization_id,
                vendor=vendor,
                base_url=account.base_url,
                created_at=datetime.fromisoformat("2027-01-01T00:00:00+00:00"),
                sealed=b"",
            )
            memory.integrations[wanted] = (integration, account)
            owner = Endpoint(organization_id=organization_id, integration_id=wanted, vendor=vendor)
            memory.endpoints[endpoint_hash(endpoint_key)] = owner
            memory.endpoint_keys[wanted] = endpoint_key
        return memory.integrations[wanted][0]

    async def integration(self, organizations: Sequence[str], integration_id: str) -> Integration | None:
        """Return one integration."""
        found = self._memory.integrations.get(integration_id)
        return found[0] if found and found[0].organization_id in organizations else None

    async def integrations(self, organization_id: str, *, after: str | None, limit: int) -> list[Integration]:
        """Return a page of them."""
        mine = [i for i, _ in self._memory.integrations.values() if i.organization_id == organization_id]
        ordered = sorted(mine, key=lambda i: i.integration_id)
        return [i for i in ordered if after is None or i.integration_id > after][:limit]

    def account(self, integration: Integration) -> Account:
        """Return the account."""
        return self._memory.integrations[integration.integration_id][1]

    def endpoint_key(self, integration: Integration) -> str:
        """Return the secret part of the webhook address."""
        return self._memory.endpoint_keys[integration.integration_id]

    async def link(
        self, link: Link, *, request_id: str, trace_parent: str, matches: Sequence[Match] = ()
    ) -> Link:
        """Keep a link and what people said is the same; idempotent by request."""
        wanted = self._memory.requests.setdefault(request_id, link.link_id)
        if wanted == link.link_id:
            self._memory.shadows |= {
                (link.link_id, match.item_id): Shadow(
                    link_id=link.link_id,
                    item_id=match.item_id,
                    kind=self._memory.projection[match.item_id][1].kind,
                    expected=match.record_id,
                )
                for match in matches
            }
        return self._memory.links.setdefault(wanted, link)

    async def update(self, before: Integration, account: Account) -> Integration:
        """Keep new credentials."""
        after = replace(before, base_url=account.base_url, version=before.version + 1)
        self._memory.integrations[before.integration_id] = (after, account)
        return after

    async def item_expecting(self, link: Link, record_id: str) -> str | None:
        """Return the item that people said this record is."""
        mine = [shadow for (owner, _), shadow in self._memory.shadows.items() if owner == link.link_id]
        wanted = (s.item_id for s in mine if s.record_id is None and s.expected == record_id)
        return next(wanted, None)

    async def links(
        self,
        organizations: Sequence[str],
        *,
        wedding_id: str | None = None,
        integration_id: str | None = None,
    ) -> list[Link]:
        """Return links."""
        return [
            link
            for link in self._memory.links.values()
            if link.organization_id in organizations
            and wedding_id in (None, link.wedding_id)
            and integration_id in (None, link.integration_id)
        ]

    async def find_link(self, organizations: Sequence[str], link_id: str) -> Link | None:
        """Return one link."""
        link = self._memory.links.get(link_id)
        return link if link and link.organization_id in organizations else None

    async def set_state(self, link: Link, *, active: bool, reason: str = "", believing: float = 0.0) -> None:
        """Pause a link or let it go on."""
        self._memory.links[link.link_id] = replace(link, active=active, reason=reason)

    async def refuse_account(self, link: Link, reason: str) -> bool:
        """Pause a link whose vendor refused its account, unless that was connected again meanwhile."""
        known = self._memory.integrations.get(link.integration_id)
        same = known is None or known[0].version == link.account_version
        if same:
            await self.set_state(link, active=False, reason=reason)
        return same

    async def doubt_deletes(self, link: Link, reason: str) -> bool:
        """Pause a link for its many deletes, unless they are believed."""
        known = self._memory.links[link.link_id]
        if known.deletes_believed_until is None:
            await self.set_state(link, active=False, reason=reason)
        return known.deletes_believed_until is None

    async def poll_now(self, link: Link) -> None:
        """Make the link due."""
        self._memory.polls.append({"now": link.link_id})

    async def record_of(self, link: Link, item_id: str) -> Shadow | None:
        """Return the shadow of an item at this link."""
        return self._memory.shadows.get((link.link_id, item_id))

    async def awaits_create(self, link: Link, item_id: str) -> bool:
        """Say whether a create of ours for the item was never answered."""
        place = (link.link_id, item_id)
        creates = [row for row in self._memory.intents if row.intent.kind is IntentKind.CREATE]
        return any(row.place == place and row.state != "confirmed" for row in creates)

    async def links_of(
        self, organization_id: str, integration_id: str, scope: tuple[str, str] | None = None
    ) -> list[Link]:
        """Return the links of an account."""
        found = await self.links([organization_id], integration_id=integration_id)
        return [link for link in found if scope is None or link.scope.get(scope[0]) == scope[1]]

    async def item_of(self, link: Link, record_id: str) -> str | None:
        """Return the item that a vendor record stands for."""
        shadow = (await self.shadows(link, [record_id])).get(record_id)
        return shadow.item_id if shadow else None

    async def shadows(self, link: Link, record_ids: Sequence[str]) -> dict[str, Shadow]:
        """Return the shadows of these records."""
        mine = [shadow for (owner, _), shadow in self._memory.shadows.items() if owner == link.link_id]
        return {s.record_id: s for s in mine if s.record_id is not None and s.record_id in record_ids}

    async def present(self, link: Link) -> frozenset[str]:
        """Return the records that the vendor has."""
        mine = [shadow for (owner, _), shadow in self._memory.shadows.items() if owner == link.link_id]
        return frozenset(s.record_id for s in mine if s.record_id and s.present)
