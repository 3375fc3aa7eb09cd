"""Two short hands for reading rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping, TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.records import Busy

CLAIM_SECONDS = 20
"""How long a claimed row is its worker's own; after a crash it is free again then."""


def passed_by(busy: Busy) -> dict[str, list[str]]:
    """Return the values of a claim by which nothing of the busy is claimed."""
    return {"integrations": list(busy.integrations), "vendors": list(busy.vendors)}


async def rows(
    conn: AsyncConnection, statement: TextClause, values: Mapping[str, Any] | None = None
) -> Sequence[RowMapping]:
    """Return all rows."""
    return (await conn.execute(statement, values or {})).mappings().all()


async def first(
    conn: AsyncConnection, statement: TextClause, values: Mapping[str, Any] | None = None
) -> RowMapping | None:
    """Return the first row, None without one."""
    return (await conn.execute(statement, values or {})).mappings().first()
