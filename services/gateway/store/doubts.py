"""How many records a vendor has deleted lately, as a delete of one more is committed."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.observe import is_wipe
from services.gateway.store.sql import rows

AT_ONCE_SECONDS = 600
"""Deletes within so long of each other count as one act: a vendor may tell of them one by one."""

# The row is locked, so that of several deletes that are committed at once each sees those before it.
_BELIEVED = text("""
    SELECT coalesce(deletes_believed_until > clock_timestamp(), false) AS believed
    FROM gateway.wedding_vendor_integrations WHERE id = :link_id FOR UPDATE
""")
_LATELY = text("""
    SELECT (SELECT count(*) FROM gateway.vendor_activities
            WHERE link_id = :link_id AND deletes
              AND created_at > clock_timestamp() - make_interval(secs => :seconds)) AS deleted,
           (SELECT count(*) FROM gateway.shadow_items
            WHERE link_id = :link_id AND record_id IS NOT NULL AND NOT gone) AS present
""")


class TooManyDeletes(Exception):
    """The vendor deletes so many records at once that a person should be asked."""

    def __init__(self, gone: int, known: int) -> None:
        super().__init__(f"{gone} of {known} records")
        self.gone, self.known = gone, known


async def doubt_delete(conn: AsyncConnection, link_id: str) -> None:
    """Return if one more delete may be believed. Raises `TooManyDeletes`."""
    [link] = await rows(conn, _BELIEVED, {"link_id": link_id})
    if link["believed"]:
        return
    [lately] = await rows(conn, _LATELY, {"link_id": link_id, "seconds": AT_ONCE_SECONDS})
    gone, known = lately["deleted"] + 1, lately["deleted"] + lately["present"]
    if is_wipe(known, gone):
        raise TooManyDeletes(gone, known)
