"""Weddings that the benchmarks copy in the database."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest

from tests.bench import copies
from tests.bench.running import Running
from tests.bench.seeded import Original
from tests.support.database import MigratedDatabase
from wedsync.model.ids import new_id
from wedsync.testing.load.stage import Account, Wedding

_WEDDING = """
INSERT INTO sync.weddings (wedding_id, title, day, time_zone, owner_id, epoch)
VALUES (%(wedding)s, 'Okafor', '2027-06-12', 'Europe/Paris', %(other)s, 4)
"""
_MEMBER = "INSERT INTO sync.wedding_members VALUES (%(wedding)s, 'studio', 'planner', now())"
_ITEM = """
INSERT INTO sync.items (wedding_id, item_id, kind, deleted, revision, state)
VALUES (%(wedding)s, %(item)s, 'timeline_event', false, 1, convert_to(%(state)s, 'UTF8'))
"""
_ACCOUNT = """
INSERT INTO gateway.vendor_integrations (organization_id, id, vendor, base_url, credentials, request_id)
VALUES ('studio', %(account)s, 'partner_api', '', '', %(other)s)
"""
_LINK = """
INSERT INTO gateway.wedding_vendor_integrations
  (organization_id, id, wedding_id, integration_id, vendor, scope, time_zone, request_id)
VALUES ('studio', %(link)s, %(wedding)s::text::uuid, %(account)s, 'partner_api',
        jsonb_build_object('collection_id', %(wedding)s::text), 'Europe/Paris', %(other)s)
"""
_SHADOW = """
INSERT INTO gateway.shadow_items
  (organization_id, wedding_id, link_id, item_id, kind, record_id, fields)
VALUES ('studio', %(wedding)s, %(link)s, %(item)s, 'timeline_event', 'toast-0', 'Toast 0, edit 0')
"""
_TABLES = ("sync.weddings", "sync.items", "gateway.wedding_vendor_integrations", "gateway.shadow_items")

Ids = dict[str, str]


@pytest.fixture
def ids(migrated_database: MigratedDatabase) -> Iterator[Ids]:
    """A wedding with one item that one vendor has; all copies are taken away at the end."""
    found = {name: new_id() for name in ("wedding", "item", "account", "link", "other")}
    state = f'{{"item_id": "{found["item"]}", "title": "Toast 0, edit 0"}}'
    with psycopg.connect(migrated_database.admin_url, autocommit=True) as admin:
        for statement in (_WEDDING, _MEMBER, _ITEM, _ACCOUNT, _LINK, _SHADOW):
            admin.execute(statement, {**found, "state": state})
        yield found
        admin.execute("TRUNCATE gateway.vendor_integrations, sync.weddings, sync.items CASCADE")


def rows(database: MigratedDatabase, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """Return what a query finds."""
    with psycopg.connect(database.admin_url) as admin:
        return admin.execute(query, values).fetchall()


def test_copies_are_whole_and_belong_to_studios_of_their_own(
    migrated_database: MigratedDatabase, ids: Ids
) -> None:
    """Every table has as many as were asked for, and each copy's account is of the copy's organization."""
    for first, last in ((11, 40), (41, 110)):
        copies.multiply(migrated_database.admin_url, ids["wedding"], first, last)
    counted = [rows(migrated_database, f"SELECT count(*) FROM {table}")[0][0] for table in _TABLES]
    assert counted == [101] * len(_TABLES)
    accounts = rows(
        migrated_database,
        "SELECT a.organization_id, count(*) FROM gateway.wedding_vendor_integrations l"
        " JOIN gateway.vendor_integrations a"
        " ON (a.organization_id, a.id) = (l.organization_id, l.integration_id)"
        " GROUP BY 1 ORDER BY 2",
    )
    assert sorted(count for _, count in accounts) == [1, 11, 14, 25, 25, 25]
    unowned = "SELECT count(*) FROM sync.weddings WHERE owner_id IS NULL AND epoch = 0"
    assert rows(migrated_database, unowned) == [(100,)]


def test_a_copy_in_use_has_other_ids_and_names_everywhere(
    migrated_database: MigratedDatabase, ids: Ids
) -> None:
    """Also inside of what is stored as one piece, and in its vendors' records."""
    account = Account(name="a", integration_id=ids["account"], path="", secret="", key="k")
    wedding = Wedding(
        wedding_id=ids["wedding"], key="k", accounts=[account], numbers=[0], links=[ids["link"]]
    )
    running = SimpleNamespace(database_url=migrated_database.admin_url)
    original = Original(cast("Running", running), wedding)
    copy = original.copied(7, [account])
    original.write()
    [(item_id, state)] = rows(
        migrated_database,
        "SELECT item_id::text, convert_from(state, 'UTF8') FROM sync.items WHERE wedding_id = %s",
        copy.wedding_id,
    )
    assert item_id != ids["item"]
    assert state == f'{{"item_id": "{item_id}", "title": "Toast 7, edit 0"}}'
    [shadow] = rows(
        migrated_database,
        "SELECT s.record_id, s.item_id::text, convert_from(s.fields, 'UTF8'), l.scope->>'collection_id'"
        " FROM gateway.shadow_items s JOIN gateway.wedding_vendor_integrations l ON l.id = s.link_id"
        " WHERE s.link_id = %s",
        copy.links[0],
    )
    assert shadow == ("toast-7", item_id, "Toast 7, edit 0", copy.wedding_id)
    kept = original.kept(copy, {"a": [{"id": "toast-0", "item": ids["item"]}]})
    assert list(kept) == [("a", copy.wedding_id, [{"id": "toast-7", "item": item_id}])]
