"""What the wedding has, as far as it was told to the gateway."""

from __future__ import annotations

from sqlalchemy import text

from services.gateway.store.blobs import unpack
from services.gateway.store.sql import rows
from wedsync.model.changes import ItemState
from wedsync.model.codec import load_item
from wedsync.runtime.database import Database

_ITEMS = text("SELECT state FROM gateway.canonical_items WHERE wedding_id = :wedding_id ORDER BY item_id")


class ProjectionStore:
    """The projection of the truth, read only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def items(self, wedding_id: str) -> list[ItemState]:
        """Return everything the wedding has or had. Who may ask is for the caller to know."""
        async with self._database.transaction(weddings=[wedding_id]) as conn:
            found = await rows(conn, _ITEMS, {"wedding_id": wedding_id})
        return [load_item(unpack(row["state"])) for row in found]
