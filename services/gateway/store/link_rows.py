"""Links as they are read: by request, wedding or account, and many at once by id or account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import text

from services.gateway.records import Backfill, Link
from services.gateway.store.sql import asked_rows
from wedsync.runtime.round_trip import Statement

# The scope as text: what is read again and again is the same text, and not made a mapping anew.
_COLUMNS = """
           l.organization_id, l.id, l.wedding_id, l.integration_id, l.vendor, l.scope::text AS scope,
           l.time_zone, l.state, l.reason, l.created_at, l.scanned_at, l.cursor, l.poll_failures,
           l.poll_seconds, l.midway,
           l.poll_token, l.next_poll_at, l.push_reason, l.pushed_until, l.deletes_believed_until,
           l.backfill_started_at, l.backfill_ended_at, l.backfill_records, l.backfill_pages,
           l.backfill_expected, i.version
"""
_LINKS = f"""
    SELECT {_COLUMNS} FROM gateway.wedding_vendor_integrations l
    JOIN gateway.vendor_integrations i
      ON i.organization_id = l.organization_id AND i.id = l.integration_id
"""
LINKS = text(f"""
    {_LINKS}
    WHERE (CAST(:id AS uuid) IS NULL OR l.id = :id)
      AND (CAST(:request_id AS uuid) IS NULL OR l.request_id = :request_id)
      AND (CAST(:wedding_id AS uuid) IS NULL OR l.wedding_id = :wedding_id)
      AND (CAST(:integration_id AS uuid) IS NULL OR l.integration_id = :integration_id)
    ORDER BY l.created_at, l.id
""")
LINKS_BY_ID = Statement(
    "links_by_id",
    f"{_LINKS} WHERE l.organization_id = ANY(%(organizations)s::text[]) AND l.id = ANY(%(ids)s::uuid[])",
)
# OFFSET keeps the account first, so that only its own links are looked at.
_IN_SCOPE = f"""
    CROSS JOIN LATERAL (
        {_LINKS}
        WHERE l.organization_id = {{account}}.organization_id
          AND l.integration_id = {{account}}.integration_id
          AND (a.key IS NULL OR l.scope ->> a.key = a.value) OFFSET 0) l
    ORDER BY l.created_at, l.id
"""
LINKS_OF_ACCOUNT = Statement(
    "links_of_account",
    f"""
    SELECT a.place, l.*
    FROM {asked_rows("place int, organization_id text, integration_id uuid, key text, value text")} AS a
    {_IN_SCOPE.format(account="a")}
""",
)
LINKS_OF_ENDPOINT = Statement(
    "links_of_endpoint",
    f"""
    SELECT a.place, l.*
    FROM {asked_rows("place int, hash text, key text, value text")} AS a
    CROSS JOIN LATERAL gateway.resolve_endpoint(decode(a.hash, 'hex')) e
    {_IN_SCOPE.format(account="e")}
""",
)


@dataclass(frozen=True, slots=True)
class InScope:
    """Which of an account's links are meant: those whose scope has this value, without a key all of them."""

    key: str | None = None
    value: str | None = None

    @classmethod
    def of(cls, scope: tuple[str, str] | None) -> InScope:
        """Return what a key and its value mean; None means all."""
        return cls(*(scope or (None, None)))


def link_filter(**wanted: Any) -> dict[str, Any]:
    """Return what `LINKS` is to be narrowed to."""
    return {"id": None, "request_id": None, "wedding_id": None, "integration_id": None, **wanted}


def link_from(row: Mapping[Any, Any]) -> Link:
    """Return the link a row of `LINKS` holds; one that was read before is not made anew."""
    return _link(_of_link(row))


_OF_LINK = (
    "id",
    "organization_id",
    "wedding_id",
    "integration_id",
    "vendor",
    "scope",
    "time_zone",
    "state",
    "reason",
    "created_at",
    "scanned_at",
    "deletes_believed_until",
    "push_reason",
    "pushed_until",
    "poll_seconds",
    "backfill_started_at",
    "backfill_ended_at",
    "backfill_records",
    "backfill_pages",
    "backfill_expected",
    "version",
)
_of_link = itemgetter(*_OF_LINK)


@lru_cache(maxsize=4096)
def _link(values: tuple[Any, ...]) -> Link:
    row = dict(zip(_OF_LINK, values, strict=True))
    return Link(
        link_id=str(row["id"]),
        organization_id=str(row["organization_id"]),
        wedding_id=str(row["wedding_id"]),
        integration_id=str(row["integration_id"]),
        vendor=row["vendor"],
        scope=orjson.loads(row["scope"]),
        time_zone=row["time_zone"],
        active=row["state"] == "active",
        ended=row["state"] == "ended",
        reason=row["reason"],
        created_at=row["created_at"],
        scanned_at=row["scanned_at"],
        deletes_believed_until=row["deletes_believed_until"],
        push_reason=row["push_reason"],
        pushed_until=row["pushed_until"],
        poll_seconds=row["poll_seconds"],
        backfill=Backfill(
            started_at=row["backfill_started_at"],
            ended_at=row["backfill_ended_at"],
            records=row["backfill_records"],
            pages=row["backfill_pages"],
            expected=row["backfill_expected"],
        ),
        account_version=row["version"],
    )
