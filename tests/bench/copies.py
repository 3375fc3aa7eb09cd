"""Weddings by the thousand: copies of one that the system itself made, row by row in the database."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg import sql

STUDIO = 25
"""How many copies share their accounts and their organization."""
TABLES = (
    "sync.weddings",
    "sync.wedding_members",
    "sync.items",
    "sync.changes",
    "sync.change_keys",
    "gateway.wedding_vendor_integrations",
    "gateway.canonical_items",
    "gateway.shadow_items",
    "gateway.vendor_activities",
    "gateway.vendor_deliveries",
)
_ACCOUNTS = "gateway.vendor_integrations"
# The first of these studios may be there already, for copies of before.
_ACCOUNTS_OF = """
t.id IN (SELECT integration_id FROM gateway.wedding_vendor_integrations WHERE wedding_id = %(wedding)s)
ON CONFLICT DO NOTHING
"""
# Who decides for the original decides for no copy; and nobody looks at a copy's vendors.
_INSTEAD = {"next_poll_at": "'infinity'::timestamptz", "owner_id": "NULL", "epoch": "0"}
_COLUMNS = """
SELECT column_name, data_type FROM information_schema.columns
WHERE table_schema = %s AND table_name = %s AND is_generated = 'NEVER'
"""


def multiply(admin_url: str, wedding_id: str, first: int, last: int) -> None:
    """Add copies number `first` to `last` of a wedding with everything stored of it, and their accounts."""
    with psycopg.connect(admin_url, autocommit=True) as admin:
        studios = {"first": first // STUDIO, "last": last // STUDIO, "wedding": wedding_id}
        _copy(admin, _ACCOUNTS, _ACCOUNTS_OF, studios)
        for table in TABLES:
            _copy(admin, table, "t.wedding_id = %(wedding)s", {**studios, "first": first, "last": last})
        admin.execute("ANALYZE")


def _copy(admin: psycopg.Connection, table: str, which: str, numbers: Mapping[str, object]) -> None:
    schema, name = table.split(".")
    found = columns(admin, table)
    statement = sql.SQL(
        "INSERT INTO {} ({}) SELECT {} FROM {} t, generate_series(%(first)s::int, %(last)s::int) n WHERE {}"
    ).format(
        sql.Identifier(schema, name),
        sql.SQL(", ").join(sql.Identifier(column) for column, _ in found),
        sql.SQL(", ").join(_value(column, kind, table) for column, kind in found),
        sql.Identifier(schema, name),
        sql.SQL(which),
    )
    admin.execute(statement, numbers)


def columns(admin: psycopg.Connection, table: str) -> list[tuple[str, str]]:
    """Return the columns of a table that can be written, and their types."""
    return admin.execute(_COLUMNS, tuple(table.split("."))).fetchall()


def _value(name: str, kind: str, table: str) -> sql.Composable:
    column = sql.SQL("t.") + sql.Identifier(name)
    studio = sql.SQL("n" if table == _ACCOUNTS else f"n / {STUDIO}")
    if name in _INSTEAD:
        return sql.SQL(_INSTEAD[name])
    if name == "organization_id":
        return sql.SQL("'copy ' || ({})").format(studio)
    if kind != "uuid":
        return column
    # The same id of the original gives the same id of a copy, in whatever table it stands.
    number = studio if table == _ACCOUNTS or name == "integration_id" else sql.SQL("n")
    return sql.SQL("md5({}::text || ({}))::uuid").format(column, number)
