"""How PostgreSQL goes about what is asked of it all the time: by key, whatever the tables held at first."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
import pytest

import services.gateway
import services.sync
from tests.support.database import MigratedDatabase
from wedsync.runtime.round_trip import BY_KEY, Statement

_KEPT_BY_TIME = ("webhook_log", "vendor_deliveries")
"""Tables that begin a new part each week: it is empty when it begins."""
_IN_ORDER = ("lane_created_at_idx", "activities_in_order")
"""Indexes of what waits: whoever claims takes the first there."""


def _statements(package: Any) -> Iterator[Statement]:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if "migrations" not in module.name and "__main__" not in module.name:
            found = vars(importlib.import_module(module.name)).values()
            yield from (
                each for each in found if isinstance(each, Statement) and each.name != b"wedsync_begin"
            )


_ASKED = sorted(
    {
        (package.__name__.split(".")[1], statement.name.decode(), statement.sql)
        for package in (services.gateway, services.sync)
        for statement in _statements(package)
    }
)


def _steps(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _steps(below)


def _walks_through(node: Mapping[str, Any]) -> str | None:
    """Return the table or index that a step walks through from end to end."""
    if node["Node Type"] == "Seq Scan":
        return str(node["Relation Name"])
    looks = node["Node Type"] in {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}
    name = str(node.get("Index Name", ""))
    return name if looks and "Index Cond" not in node and not name.endswith(_IN_ORDER) else None


def _walks(url: str, sql: bytes) -> list[str] | None:
    """Return all that a statement walks through; None where the role may not ask this."""
    with psycopg.connect(url, autocommit=True, options=BY_KEY) as connection:
        try:
            row = connection.execute(b"EXPLAIN (GENERIC_PLAN, FORMAT JSON) " + sql).fetchone()
        except psycopg.errors.InsufficientPrivilege:
            return None
    assert row is not None
    return [name for step in _steps(row[0][0]["Plan"]) if (name := _walks_through(step))]


def _by_roles(database: MigratedDatabase, service: str, sql: bytes) -> list[list[str]]:
    urls = (database.app_url(service), database.worker_url(service))
    walks = [found for url in urls if (found := _walks(url, sql)) is not None]
    assert walks, "some role may ask it"
    return walks


@pytest.mark.parametrize(("service", "name", "sql"), _ASKED, ids=[name for _, name, _ in _ASKED])
def test_what_is_asked_all_the_time_is_looked_up_by_key(
    migrated_database: MigratedDatabase, service: str, name: str, sql: bytes
) -> None:
    """A plan made while the tables are empty, which lasts, walks through no table and no index."""
    assert not any(_by_roles(migrated_database, service, sql)), name


@pytest.mark.parametrize(
    ("service", "name", "sql"), [asked for asked in _ASKED if any(t in str(asked[2]) for t in _KEPT_BY_TIME)]
)
def test_a_new_week_is_looked_up_by_key(
    migrated_database: MigratedDatabase, service: str, name: str, sql: bytes
) -> None:
    """Nothing is walked through of a part that was counted while it was empty and that would cost nothing."""
    with psycopg.connect(migrated_database.admin_url, autocommit=True) as admin:
        admin.execute("ANALYZE")
    walks = [walked for found in _by_roles(migrated_database, service, sql) for walked in found]
    assert [each for each in walks if each.startswith(_KEPT_BY_TIME)] == [], name
