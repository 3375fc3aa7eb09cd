"""What happens to an account after it was connected: new credentials, a test, an end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from services.gateway.accounts import Accounts, checked_credentials
from services.gateway.ports import Ports
from services.gateway.push import ChannelKeeper
from services.gateway.records import Link
from services.gateway.store.endings import EndingStore
from services.gateway.store.integration_rows import Integration
from services.gateway.store.links import WEBHOOK_SECRET, LinkStore
from services.gateway.vendors.port import VendorError
from wedsync import errors
from wedsync.errors import FieldViolation
from wedsync.model.ids import new_id
from wedsync.runtime.principal import Principal

UNLINKED, DISCONNECTED = "unlinked by request", "the vendor was disconnected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How one try at a vendor went; no problem means that it works."""

    link_id: str
    problem: str = ""


class Upkeep:
    """Looks after accounts and links."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        links: LinkStore,
        endings: EndingStore,
        ports: Ports,
        keeper: ChannelKeeper,
    ) -> None:
        self._accounts, self._links, self._endings = accounts, links, endings
        self._ports, self._keeper = ports, keeper

    async def update(
        self, principal: Principal, integration_id: str, *, credentials: Mapping[str, str], base_url: str
    ) -> Integration:
        """Keep new credentials or another address; what is not given stays."""
        before = await self._accounts.find_connected(principal, integration_id)
        checked_credentials(
            self._ports.manifest(before.vendor),
            credentials,
            base_url,
            complete=False,
            problems=_problems(credentials, base_url),
        )
        account = self._links.account(before)
        after = replace(
            account,
            base_url=base_url or account.base_url,
            credentials={**account.credentials, **credentials},
        )
        return await self._links.update(before, after)

    async def test(
        self, principal: Principal, integration_id: str, *, scope: Mapping[str, str]
    ) -> Sequence[Trial]:
        """Try every link of an account, or the scope that was given."""
        integration = await self._accounts.find_connected(principal, integration_id)
        links = await self._links.links([principal.organization_id], integration_id=integration_id)
        tried = [_sample(integration, scope)] if scope else [link for link in links if not link.ended]
        if not tried:
            raise errors.FailedPrecondition("Nothing is linked to try; give a scope, as for LinkWedding.")
        return [await self._test(link, named=not scope) for link in tried]

    async def disconnect(self, principal: Principal, integration_id: str) -> Integration:
        """End all work with an account, the vendor's telling us too; doing it again changes nothing."""
        organization = principal.organization_id
        if await self._links.integration([organization], integration_id) is None:
            raise errors.NotFound("There is no such integration.")
        await self._keeper.take_leave(await self._links.links([organization], integration_id=integration_id))
        await self._endings.disconnect(organization, integration_id, reason=DISCONNECTED)
        ended = await self._links.integration([organization], integration_id)
        if ended is None:  # pragma: no cover - integrations are kept
            raise errors.NotFound("There is no such integration.")
        return ended

    async def unlink(self, principal: Principal, link_id: str) -> Link:
        """End a link; doing it again changes nothing."""
        link = await self._accounts.find_link(principal, link_id)
        await self._endings.unlink(link, reason=UNLINKED)
        return await self._accounts.find_link(principal, link_id)

    async def _test(self, link: Link, *, named: bool) -> Trial:
        try:
            await self._ports.try_out(link)
        except VendorError as error:
            return Trial(link_id=link.link_id if named else "", problem=str(error))
        return Trial(link_id=link.link_id if named else "")


def _problems(credentials: Mapping[str, str], base_url: str) -> list[FieldViolation]:
    if WEBHOOK_SECRET in credentials:
        return [FieldViolation(f"credentials.{WEBHOOK_SECRET}", "is changed by RotateWebhookSecret")]
    return [] if credentials or base_url else [FieldViolation("credentials", "or base_url must be given")]


def _sample(integration: Integration, scope: Mapping[str, str]) -> Link:
    return Link(
        link_id=new_id(),
        organization_id=integration.organization_id,
        wedding_id="",
        integration_id=integration.integration_id,
        vendor=integration.vendor,
        scope=dict(scope),
        time_zone="UTC",
    )
