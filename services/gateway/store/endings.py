"""Accounts and links that end: no more work, nothing of what happened forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.records import Link
from services.gateway.store.sql import rows
from wedsync.runtime.database import Database
from wedsync.runtime.vault import Vault

_END_LINKS = text("""
    UPDATE gateway.wedding_vendor_integrations
    SET state = 'ended', reason = :reason, poll_token = NULL, poll_lease_until = '-infinity',
        push_due_at = clock_timestamp()
    WHERE state <> 'ended' AND (id = CAST(:link_id AS uuid)
                                OR integration_id = CAST(:integration_id AS uuid))
    RETURNING id
""")
_END_DELIVERIES = text("""
    UPDATE gateway.vendor_deliveries
    SET state = 'nothing_to_do', reason = :reason, closed_at = clock_timestamp()
    WHERE link_id = ANY(:links) AND state IN ('due', 'parked')
""")
_DISCONNECT = text("""
    UPDATE gateway.vendor_integrations
    SET disconnected_at = clock_timestamp(), credentials = :nothing, version = version + 1
    WHERE id = :integration_id AND disconnected_at IS NULL
""")
_FORGET_ADDRESS = text("DELETE FROM gateway.endpoint_keys WHERE integration_id = :integration_id")
_FORGET_SECRETS = text("DELETE FROM gateway.webhook_secrets WHERE integration_id = :integration_id")
_FORGET_TOKENS = text("DELETE FROM gateway.access_tokens WHERE integration_id = :integration_id")


class EndingStore:
    """Ends accounts and links."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    async def unlink(self, link: Link, *, reason: str) -> None:
        """End one link: nothing is read, and nothing is due any more."""
        async with self._database.transaction(organizations=[link.organization_id]) as conn:
            await _end(conn, reason=reason, link_id=link.link_id)

    async def disconnect(self, organization_id: str, integration_id: str, *, reason: str) -> None:
        """End an account with all its links; forget its credentials, secrets and webhook address."""
        nothing = orjson.dumps({"credentials": {}, "endpoint_key": ""})
        names = {"integration_id": integration_id, "nothing": self._vault.encrypt(nothing, integration_id)}
        async with self._database.transaction(organizations=[organization_id]) as conn:
            await conn.execute(_DISCONNECT, names)
            await conn.execute(_FORGET_ADDRESS, names)
            await conn.execute(_FORGET_SECRETS, names)
            await conn.execute(_FORGET_TOKENS, names)
            await _end(conn, reason=reason, integration_id=integration_id)


async def _end(conn: AsyncConnection, *, reason: str, **which: Any) -> None:
    names = {"link_id": None, "integration_id": None, "reason": reason, **which}
    ended: Sequence[Any] = [row["id"] for row in await rows(conn, _END_LINKS, names)]
    if ended:
        await conn.execute(_END_DELIVERIES, {"links": ended, "reason": reason})
