"""Weddings by the thousand: copies of one that the system itself made, row by row in the database."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

_TABLES = (
    "sync.weddings",
    "sync.wedding_members",
    "sync.items",
    "sync.changes",
    "gateway.wedding_vendor_integrations",
    "gateway.canonical_items",
    "gateway.shadow_items",
)
# What stays the same in every copy: the accounts, and whoever owns them.
_SHARED = frozenset({"integration_id", "organization_id"})
# Who decides for the original decides for no copy; and nobody looks at a copy's vendors.
_INSTEAD = {"next_poll_at": "'infinity'::timestamptz", "owner_id": "NULL", "epoch": "0"}
_COLUMNS = """
SELECT column_name, data_type FROM information_schema.columns
WHERE table_schema = %s AND table_name = %s AND is_generated = 'NEVER'
"""


def multiply(admin_url: str, wedding_id: str, first: int, last: int) -> None:
    """Add copies number `first` to `last` of a wedding and everything stored of it."""
    with psycopg.connect(admin_url, autocommit=True) as admin:
        for table in _TABLES:
            schema, name = table.split(".")
            columns = admin.execute(_COLUMNS, (schema, name)).fetchall()
            admin.execute(_copy(table, columns), {"first": first, "last": last, "wedding": wedding_id})
        admin.execute("ANALYZE")


def _copy(table: str, columns: Sequence[tuple[str, str]]) -> sql.Composed:
    names = sql.SQL(", ").join(sql.Identifier(name) for name, _ in columns)
    values = sql.SQL(", ").join(_value(name, kind) for name, kind in columns)
    return sql.SQL(
        "INSERT INTO {} ({}) SELECT {} FROM {} t, generate_series(%(first)s, %(last)s) n"
        " WHERE t.wedding_id = %(wedding)s"
    ).format(sql.Identifier(*table.split(".")), names, values, sql.Identifier(*table.split(".")))


def _value(name: str, kind: str) -> sql.Composable:
    column = sql.SQL("t.") + sql.Identifier(name)
    if name in _INSTEAD:
        return sql.SQL(_INSTEAD[name])
    if kind != "uuid" or name in _SHARED:
        return column
    # The same id of the original gives the same id of a copy, in whatever table it stands.
    return sql.SQL("md5({}::text || n)::uuid").format(column)
