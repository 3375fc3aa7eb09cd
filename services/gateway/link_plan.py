"""What a link would do, found out with the engine's own rules before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.gateway.accounts import Accounts, as_answers
from services.gateway.deliver.plan import Rest, plan_delivery
from services.gateway.matching import Difference, Doubt, Same, differences, pair
from services.gateway.poison import contained
from services.gateway.ports import Ports
from services.gateway.records import Link, Shadow
from services.gateway.store.projection import ProjectionStore
from services.gateway.vendors.field_rules import KindRule
from services.gateway.vendors.port import BadRecord, VendorPort, VendorRecord
from wedsync.model.changes import ItemState
from wedsync.model.items import ItemKind
from wedsync.runtime.principal import Principal

MAX_RECORDS = 2_000
"""So many of a vendor's records are read for a plan; what is beyond is not in it."""
MAX_PAGES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPlan:
    """What a link would create, match and change on each side."""

    matches: Sequence[tuple[Same, Sequence[Difference]]]
    review: Sequence[Doubt]
    new_in_wedding: Sequence[VendorRecord]
    new_at_vendor: Sequence[tuple[ItemState, str]]
    """With the reason why the vendor would not get it all the same, empty where it would."""
    unreadable: Sequence[BadRecord]
    truncated: bool


class LinkPlanner:
    """Plans links."""

    def __init__(self, *, accounts: Accounts, ports: Ports, projection: ProjectionStore) -> None:
        self._accounts, self._ports, self._projection = accounts, ports, projection

    async def plan(
        self, principal: Principal, *, wedding_id: str, integration_id: str, scope: Mapping[str, str]
    ) -> LinkPlan:
        """Say what the link would do. The vendor is read, and nothing is written."""
        link = await self._accounts.draft(
            principal, wedding_id=wedding_id, integration_id=integration_id, scope=scope
        )
        with as_answers(link.vendor):
            records, bad, truncated = await self._read(link)
        items = await self._projection.items(wedding_id)
        # What was said before the link is not said again.
        kinds = self._ports.manifest(link.vendor).kinds
        rules: dict[ItemKind, KindRule] = {
            kind: rule for kind, rule in kinds.items() if kind is not ItemKind.MESSAGE
        }
        found = pair(records, items, rules)
        return LinkPlan(
            matches=[(same, differences(same, rules[same.item.kind])) for same in found.same],
            review=found.doubts,
            new_in_wedding=found.records,
            new_at_vendor=[(item, _untold(item, rules[item.kind])) for item in found.items],
            unreadable=bad,
            truncated=truncated,
        )

    async def _read(self, link: Link) -> tuple[list[VendorRecord], list[BadRecord], bool]:
        port = await self._ports.build(link)
        try:
            with contained():
                await port.check()
                return await self._scan(port)
        finally:
            await port.aclose()

    async def _scan(self, port: VendorPort) -> tuple[list[VendorRecord], list[BadRecord], bool]:
        records: dict[str, VendorRecord] = {}
        bad: list[BadRecord] = []
        cursor: Mapping[str, object] | None = None
        for _ in range(MAX_PAGES):
            page = await port.scan(cursor)
            records |= {record.record_id: record for record in page.records}
            bad += page.bad
            cursor = page.cursor
            if not page.more or len(records) >= MAX_RECORDS:
                return list(records.values()), bad, page.more
        return list(records.values()), bad, True


def _untold(item: ItemState, rules: KindRule) -> str:
    plan = plan_delivery(item, Shadow(link_id="", item_id=item.item_id, kind=item.kind), rules)
    return plan.reason if isinstance(plan, Rest) else ""
