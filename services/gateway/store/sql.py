"""Short hands for reading rows, and for sending many at once."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
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


def records(found: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the value `rows` of a statement that reads them by `json_to_recordset`.

    One value, however many columns there are. Bytes travel as base64.
    """
    return {"rows": orjson.dumps(list(found), default=_as_base64).decode()}


def _as_base64(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(type(value).__name__)
