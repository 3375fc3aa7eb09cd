"""Push channels, sealed, and which links' channels are due for a look."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import RowMapping, text

from services.gateway.channels import ENDING_SECONDS, Kept
from services.gateway.records import NOBODY, Busy, Link, Owner
from services.gateway.store.links import LinkStore
from services.gateway.store.sql import passed_by, rows
from services.gateway.vendors.port import Channel
from wedsync.runtime.database import Database
from wedsync.runtime.vault import Vault

LEASE_SECONDS = 120
"""One replica works on a link's channels; after a crash they are looked at again then."""

_CLAIM = text("""
    UPDATE gateway.wedding_vendor_integrations l
    SET push_lease_until = clock_timestamp() + make_interval(secs => :seconds)
    FROM (SELECT organization_id, id FROM gateway.wedding_vendor_integrations
          WHERE push_due_at <= clock_timestamp() AND vendor = ANY(:vendors)
            AND push_lease_until < clock_timestamp()
            AND integration_id <> ALL(CAST(:integrations AS uuid[]))
          ORDER BY push_due_at LIMIT :limit FOR UPDATE SKIP LOCKED) due
    WHERE l.id = due.id AND l.organization_id = due.organization_id
    RETURNING l.organization_id, l.id
""")
_DUE = text("""
    SELECT push_failures, push_due_at FROM gateway.wedding_vendor_integrations WHERE id = :id
""")
_COLUMNS = "organization_id, id, link_id, channel_id, channel, opened, created_at, ends_at"
_OF_LINK = text(f"""
    SELECT {_COLUMNS} FROM gateway.push_channels WHERE link_id = :link_id ORDER BY created_at
""")
_BY_NAME = text(f"""
    SELECT {_COLUMNS} FROM gateway.push_channels
    WHERE integration_id = :integration_id AND channel_id = ANY(:channel_ids) AND ends_at > clock_timestamp()
""")
_KEEP = text("""
    INSERT INTO gateway.push_channels
        (organization_id, id, link_id, integration_id, channel_id, channel, opened, created_at, ends_at)
    VALUES (:organization_id, :id, :link_id, :integration_id, :channel_id, :channel, :opened, :created_at,
            :ends_at)
    ON CONFLICT (organization_id, id) DO UPDATE
    SET channel_id = excluded.channel_id, channel = excluded.channel, opened = excluded.opened,
        ends_at = excluded.ends_at
""")
_END_SOON = text("""
    WITH ending AS (
        UPDATE gateway.push_channels
        SET ends_at = least(ends_at, clock_timestamp() + make_interval(secs => :seconds)) WHERE id = :id)
    UPDATE gateway.wedding_vendor_integrations SET push_due_at = clock_timestamp() WHERE id = :link_id
""")
_FORGET = text("DELETE FROM gateway.push_channels WHERE id = :id")
_LOOKED = text("""
    UPDATE gateway.wedding_vendor_integrations
    SET push_due_at = CASE WHEN push_due_at > :due_at THEN push_due_at
                           ELSE clock_timestamp() + make_interval(secs => :seconds) END,
        push_lease_until = '-infinity', push_failures = :failures, push_reason = :reason,
        pushed_until = (SELECT max(ends_at) FROM gateway.push_channels WHERE link_id = :id AND opened)
    WHERE id = :id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class DuePush:
    """A link whose channels are due for a look."""

    link: Link
    kept: Sequence[Kept]
    failures: int
    """How often in a row no channel could be had."""
    due_at: datetime

    @property
    def owner(self) -> Owner:
        """Whose it is."""
        return self.link.owner


class ChannelStore:
    """Push channels."""

    def __init__(self, database: Database, worker: Database, links: LinkStore, vault: Vault) -> None:
        self._database, self._worker, self._links, self._vault = database, worker, links, vault

    async def claim(self, vendors: Collection[str], limit: int, busy: Busy = NOBODY) -> list[DuePush]:
        """Claim links of these vendors whose channels are due for a look; none of those who are busy."""
        wanted = sorted(set(vendors) - set(busy.vendors))
        values = {"limit": limit, "seconds": LEASE_SECONDS, **passed_by(busy), "vendors": wanted}
        async with self._worker.transaction() as conn:
            claimed = await rows(conn, _CLAIM, values)
        due = [await self._due(str(row["organization_id"]), str(row["id"])) for row in claimed]
        return [each for each in due if each is not None]

    async def find(self, organization_id: str, integration_id: str, names: Collection[str]) -> list[Kept]:
        """Return an integration's channels that the vendor calls so and that have not ended."""
        values = {"integration_id": integration_id, "channel_ids": sorted(names)}
        async with self._database.transaction(organizations=[organization_id]) as conn:
            return [self._kept(row) for row in await rows(conn, _BY_NAME, values)]

    async def keep(self, link: Link, kept: Kept) -> None:
        """Keep a channel as it is now."""
        channel = kept.channel
        content = {"secret": channel.secret, "native": dict(channel.native), "address": kept.address}
        values = {
            "organization_id": link.organization_id,
            "id": kept.id,
            "link_id": link.link_id,
            "integration_id": link.integration_id,
            "channel_id": channel.channel_id,
            "channel": self._vault.encrypt(orjson.dumps(content), kept.id),
            "opened": kept.opened,
            "created_at": kept.created_at,
            "ends_at": channel.ends_at,
        }
        async with self._database.transaction(organizations=[link.organization_id]) as conn:
            await conn.execute(_KEEP, values)

    async def end_soon(self, organization_id: str, kept: Kept) -> None:
        """Believe a channel not much longer, and have its link's channels looked at."""
        values = {"id": kept.id, "link_id": kept.link_id, "seconds": ENDING_SECONDS}
        async with self._database.transaction(organizations=[organization_id]) as conn:
            await conn.execute(_END_SOON, values)

    async def forget(self, link: Link, kept: Kept) -> None:
        """Keep a channel no longer: nothing it brings is believed from now on."""
        async with self._database.transaction(organizations=[link.organization_id]) as conn:
            await conn.execute(_FORGET, {"id": kept.id})

    async def looked(self, due: DuePush, *, seconds: float, failures: int, reason: str) -> None:
        """Look again later, or at once if somebody asked for it meanwhile; say why there is no channel."""
        link = due.link
        values = {"id": link.link_id, "due_at": due.due_at, "seconds": seconds}
        async with self._database.transaction(organizations=[link.organization_id]) as conn:
            await conn.execute(_LOOKED, {**values, "failures": failures, "reason": reason})

    async def of_link(self, link: Link) -> list[Kept]:
        """Return a link's channels, oldest first."""
        async with self._database.transaction(organizations=[link.organization_id]) as conn:
            return [self._kept(row) for row in await rows(conn, _OF_LINK, {"link_id": link.link_id})]

    async def _due(self, organization_id: str, link_id: str) -> DuePush | None:
        # The time first: whoever changes the link from now on makes it due again.
        async with self._database.transaction(organizations=[organization_id]) as conn:
            [row] = await rows(conn, _DUE, {"id": link_id})
        link = await self._links.find_link([organization_id], link_id)
        if link is None:
            return None
        return DuePush(
            link=link,
            kept=await self.of_link(link),
            failures=row["push_failures"],
            due_at=row["push_due_at"],
        )

    def _kept(self, row: RowMapping) -> Kept:
        content: dict[str, Any] = orjson.loads(self._vault.decrypt(row["channel"], str(row["id"])))
        return Kept(
            id=str(row["id"]),
            link_id=str(row["link_id"]),
            channel=Channel(
                channel_id=row["channel_id"],
                secret=content["secret"],
                ends_at=row["ends_at"],
                native=content["native"],
            ),
            address=content["address"],
            created_at=row["created_at"],
            opened=row["opened"],
        )
