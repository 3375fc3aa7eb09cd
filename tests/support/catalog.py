"""What PostgreSQL's own catalog says about our tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.support.gateway_store import run_sql

# A partition is reached through its root, whose policies apply; reached directly it shows nothing.
_TENANT_TABLES = """
    SELECT c.oid::regclass::text AS name, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced,
           c.relispartition AS partition, pg_get_userbyid(c.relowner) AS owner,
           (SELECT count(*) FROM pg_policy p
            WHERE p.polrelid = coalesce(pg_partition_root(c.oid), c.oid)) AS policies
    FROM pg_class c
    WHERE c.relkind IN ('r', 'p', 'f') AND c.relnamespace = ANY(%s::text[]::regnamespace[])
      AND EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped
                  AND a.attname IN ('organization_id', 'wedding_id'))
"""


def tenant_tables(admin_url: str, schemas: Iterable[str]) -> list[dict[str, Any]]:
    """Return every table with an organization or a wedding in it, partitions included."""
    return run_sql(admin_url, _TENANT_TABLES, list(schemas))
