"""Short hands for reading rows, and for sending many at once."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import RowMapping, TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.records import Busy

_ALL = "(SELECT 1000000)"

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


def asked_rows(columns: str) -> str:
    """Return what to put into a FROM for the `records` that a statement is asked about.

    PostgreSQL believes in a hundred of them, and rather than look up a hundred rows it would walk through a
    whole index, where the table was small when the statement was planned. A limit that it cannot see counts
    as a tenth: after two it believes in one row, and looks up each by its key, however large the table grows.
    """
    read = f"SELECT * FROM json_to_recordset(%(rows)s::json) AS r ({columns})"
    return f"(SELECT * FROM ({read} LIMIT {_ALL}) AS r LIMIT {_ALL})"


def one_of(column: str, value: str, of: str) -> str:
    """Return a condition that has an index look only at what a WITH has found.

    It says again what a join says. Of a table that was empty when somebody counted, PostgreSQL believes that
    walking through all of it costs nothing, and the next week's is always empty; this leaves it no choice.
    """
    return f"{column} = ANY(ARRAY(SELECT {value} FROM {of}))"


def unindexed(column: str) -> str:
    """Return what to write for a column whose value is only checked, of a row that is looked up by its key.

    PostgreSQL would rather walk through an index of all that is waiting than look one row up, because little
    waits as a rule; and when much does, that takes long.
    """
    return f"coalesce({column}, '')"


def _as_base64(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(type(value).__name__)
