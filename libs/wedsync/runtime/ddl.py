"""SQL for migrations: row level security, grants to a service's roles, and partitions.

A table is named with its schema (`gateway.shadow_items`), which also says whose roles it is for. Only
the parent of a partitioned table is granted to anybody; its children have row level security without
a policy, so that reaching one directly shows nothing even if somebody grants it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from datetime import date, timedelta

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from wedsync.runtime.roles import app_role, worker_role

ORGANIZATIONS = "app.organizations"
WEDDINGS = "app.weddings"

_BY_TIME = """
    SELECT n.nspname || '.' || c.relname FROM pg_partitioned_table p
    JOIN pg_class c ON c.oid = p.partrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :schema AND p.partstrat = 'r' ORDER BY 1
"""
# After the newest partition, or from yesterday on: some clock may be behind.
_NEWEST = """
    SELECT today, greatest(max(ends_at), today - 1) AS next
    FROM (SELECT (now() AT TIME ZONE 'UTC')::date AS today) now LEFT JOIN (
        SELECT ((regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \\(''([^'']+)''\\)'))[1]::timestamptz
                AT TIME ZONE 'UTC')::date AS ends_at
        FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
        WHERE inhparent = CAST(:table AS regclass)
    ) partitions ON true
    GROUP BY today
"""
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_WEEK = timedelta(days=7)


def tenant_policy(table: str, column: str, scope: str) -> str:
    """Bind the app role to the rows whose column is a member of the transaction's scope."""
    if scope not in {ORGANIZATIONS, WEDDINGS}:
        raise ValueError(f"a scope is {ORGANIZATIONS} or {WEDDINGS}, not {scope!r}")
    schema, name = _split(table)
    # An unset scope reads as NULL at first and as '' later; neither may match anything.
    members = f"string_to_array(nullif(current_setting('{scope}', true), ''), ',')"
    condition = f"{_checked(column)}::text = ANY({members})"
    return _forced(table) + (
        f"CREATE POLICY {name}_tenant ON {table} FOR ALL TO {app_role(schema)}\n"
        f"  USING ({condition})\n  WITH CHECK ({condition});\n"
    )


def row_policy(table: str, role: str, *, command: str = "SELECT", condition: str = "true") -> str:
    """Let one role reach rows beyond the tenant policy: for the owner of a SECURITY DEFINER function, say."""
    if command not in {"SELECT", "INSERT", "UPDATE", "DELETE"}:
        raise ValueError(f"{command!r} is no command a policy is for")
    _, name = _split(table)
    check = {"INSERT": f"WITH CHECK ({condition})", "UPDATE": f"USING ({condition}) WITH CHECK ({condition})"}
    clause = check.get(command, f"USING ({condition})")
    policy = f"{name}_{_checked(role)}_{command.lower()}"
    return f"CREATE POLICY {policy} ON {table} FOR {command} TO {role} {clause};\n"


def app_access(
    table: str, privileges: Sequence[str] = ("SELECT", "INSERT", "UPDATE", "DELETE"), *, shared: bool = False
) -> str:
    """Grant the app role what it needs; `shared` is for a table that belongs to no tenant."""
    schema, _ = _split(table)
    grant = f"GRANT {', '.join(privileges)} ON {table} TO {app_role(schema)};\n"
    if not shared:
        return grant
    policies = [row_policy(table, app_role(schema), command=privilege) for privilege in privileges]
    return _forced(table) + grant + "".join(policies)


def worker_access(
    table: str, columns: Sequence[str], update_columns: Sequence[str] = (), *, delete: bool = False
) -> str:
    """Let the worker role see these routing columns of every tenant, and change or delete if so said."""
    role = worker_role(_split(table)[0])
    parts = [f"GRANT SELECT ({_list(columns)}) ON {table} TO {role};\n", row_policy(table, role)]
    if update_columns:
        parts.append(f"GRANT UPDATE ({_list(update_columns)}) ON {table} TO {role};\n")
        parts.append(row_policy(table, role, command="UPDATE"))
    if delete:
        parts.append(f"GRANT DELETE ON {table} TO {role};\n")
        parts.append(row_policy(table, role, command="DELETE"))
    return "".join(parts)


def hash_partitions(table: str, count: int) -> str:
    """Create the partitions of a table that is `PARTITION BY HASH`."""
    return "".join(
        _partition(f"{table}_p{i:02d}", table, f"FOR VALUES WITH (MODULUS {count}, REMAINDER {i})")
        for i in range(count)
    )


def default_partition(table: str) -> str:
    """Create the partition for days nobody prepared: better late to be dropped than refused."""
    return _partition(f"{table}_default", table, "DEFAULT")


def week_partition(table: str, start: date) -> str:
    """Create the partition of seven UTC days of a table that is `PARTITION BY RANGE` on a timestamptz."""
    bounds = f"FOR VALUES FROM ('{start} 00:00+00') TO ('{start + _WEEK} 00:00+00')"
    return _partition(f"{table}_{start:%Y%m%d}", table, bounds)


def prepare_weeks(connection: Connection, schema: str, days: int) -> None:
    """Create what is missing of the partitions of so many days to come, for every table that is kept by time.

    The connection is the owner's. A week some of whose rows already landed in the default partition stays
    there. Weeks and not days: a statement that is not about one time opens them all.
    """
    for table in connection.execute(text(_BY_TIME), {"schema": _checked(schema)}).scalars().all():
        ends = connection.execute(text(_NEWEST), {"table": table}).one()
        start, until = ends.next, ends.today + timedelta(days=days)
        while start < until:
            with contextlib.suppress(IntegrityError), connection.begin_nested():
                connection.execute(text(week_partition(table, start)))
            start += _WEEK


def _partition(child: str, parent: str, bounds: str) -> str:
    return f"CREATE TABLE {child} PARTITION OF {parent} {bounds};\n" + _forced(child)


def _forced(table: str) -> str:
    # FORCE, because without it the owner of the table sees every row.
    return f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;\nALTER TABLE {table} FORCE ROW LEVEL SECURITY;\n"


def _split(table: str) -> tuple[str, str]:
    schema, dot, name = table.partition(".")
    if not dot:
        raise ValueError(f"name the schema too: gateway.{table}, say")
    return _checked(schema), _checked(name)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no plain lower-case name")
    return name


def _list(columns: Sequence[str]) -> str:
    return ", ".join(_checked(column) for column in columns)
