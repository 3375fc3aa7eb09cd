"""When each link is looked at, how far that has come, and who does it: one poller per link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import TextClause, text

from services.gateway.records import NOBODY, Busy, Link, Owner
from services.gateway.store.link_rows import LINKS, link_filter, link_from
from services.gateway.store.sql import first, passed_by, rows
from wedsync.errors import StaleRevision
from wedsync.model.ids import new_id
from wedsync.runtime.database import Database

_NEVER = datetime.max.replace(tzinfo=UTC)

POLL_LEASE_SECONDS = 60
"""A link is its poller's own for so long; it extends that, and after a crash another takes over then."""

_CLAIM = text("""
    UPDATE gateway.wedding_vendor_integrations l
    SET poll_lease_until = clock_timestamp() + make_interval(secs => :seconds),
        poll_token = gen_random_uuid()
    FROM (SELECT organization_id, id FROM gateway.wedding_vendor_integrations
          WHERE state = 'active' AND next_poll_at <= clock_timestamp()
            AND poll_lease_until < clock_timestamp()
            AND integration_id <> ALL(CAST(:integrations AS uuid[]))
            AND vendor <> ALL(CAST(:vendors AS text[]))
          ORDER BY next_poll_at LIMIT :limit FOR UPDATE SKIP LOCKED) due
    WHERE l.id = due.id AND l.organization_id = due.organization_id
    RETURNING l.organization_id, l.id
""")
_EXTEND = text("""
    UPDATE gateway.wedding_vendor_integrations
    SET poll_lease_until = clock_timestamp() + make_interval(secs => :lease)
    WHERE id = :id AND poll_token = :token
    RETURNING id
""")
# Between two pages: the cursor is kept, so that whoever goes on begins with the next page.
_KEEP = text("""
    UPDATE gateway.wedding_vendor_integrations
    SET cursor = CAST(:cursor AS jsonb), midway = true, poll_failures = 0,
        backfill_started_at = coalesce(backfill_started_at, :started_at),
        backfill_records = backfill_records + CASE WHEN backfill_ended_at IS NULL THEN :records ELSE 0 END,
        backfill_pages = backfill_pages + CASE WHEN backfill_ended_at IS NULL THEN :pages ELSE 0 END,
        backfill_expected = coalesce(:total, backfill_expected),
        poll_lease_until = CASE WHEN :rest THEN '-infinity'
                                ELSE clock_timestamp() + make_interval(secs => :lease) END,
        next_poll_at = CASE WHEN :rest THEN clock_timestamp() ELSE next_poll_at END
    WHERE id = :id AND poll_token = :token
    RETURNING id
""")
_FINISH = text("""
    UPDATE gateway.wedding_vendor_integrations
    SET cursor = CAST(:cursor AS jsonb), midway = false, scanned_at = clock_timestamp(), poll_failures = 0,
        poll_seconds = :pause,
        next_poll_at = CASE WHEN next_poll_at > :due_at THEN next_poll_at
                            ELSE clock_timestamp() + make_interval(secs => :seconds) END,
        poll_lease_until = '-infinity',
        backfill_started_at = coalesce(backfill_started_at, :started_at),
        backfill_records = backfill_records + CASE WHEN backfill_ended_at IS NULL THEN :records ELSE 0 END,
        backfill_pages = backfill_pages + CASE WHEN backfill_ended_at IS NULL THEN :pages ELSE 0 END,
        backfill_ended_at = coalesce(backfill_ended_at, clock_timestamp())
    WHERE id = :id AND poll_token = :token
    RETURNING id
""")
_FAIL = text("""
    UPDATE gateway.wedding_vendor_integrations
    SET poll_failures = poll_failures + :failed, poll_lease_until = '-infinity',
        next_poll_at = clock_timestamp() + make_interval(secs => :seconds)
    WHERE id = :id AND poll_token = :token
    RETURNING id
""")
# Everything is looked at anew. What we know of the vendor tells how much that will be.
_START_AGAIN = text("""
    UPDATE gateway.wedding_vendor_integrations
    SET cursor = NULL, midway = false, backfill_started_at = NULL, backfill_ended_at = NULL,
        backfill_records = 0, backfill_pages = 0,
        backfill_expected = (SELECT count(*) FROM gateway.shadow_items
                             WHERE link_id = :id AND record_id IS NOT NULL AND NOT gone)
    WHERE id = :id AND poll_token = :token
    RETURNING id
""")
_LOG = text("""
    INSERT INTO gateway.integration_sync_log
        (id, started_at, ended_at, organization_id, link_id, records, looked_at, error)
    VALUES (:id, :started_at, clock_timestamp(), :organization_id, :link_id, :records, :looked_at, :error)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class DueLink:
    """A link that is to be looked at, and where the last look ended."""

    link: Link
    cursor: Mapping[str, Any] | None
    failures: int = 0
    """How often in a row the look has failed."""
    midway: bool = False
    """The cursor stands between two pages."""
    token: str = ""
    """By which the link is its poller's own."""
    due_at: datetime = _NEVER
    """When it became due; whoever asks for a look after that gets one more."""

    @property
    def owner(self) -> Owner:
        """Whose it is."""
        return self.link.owner

    @property
    def backfilling(self) -> bool:
        """Whether everything is looked at, for the first time or anew."""
        return self.link.backfill.ended_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What some pages brought: where the next begins, and how much was seen since it was last kept."""

    cursor: Mapping[str, Any]
    started_at: datetime
    records: int
    pages: int
    total: int | None = None
    """How many records there are in all, where the vendor says."""


class LinkTaken(StaleRevision):
    """The link was paused, or is looked at by somebody else meanwhile."""


class PollStore:
    """Links as something to be looked at. What is to be kept raises `LinkTaken` once the link is not ours."""

    def __init__(self, database: Database, worker: Database) -> None:
        self._database, self._worker = database, worker

    async def claim(self, limit: int, busy: Busy = NOBODY) -> list[DueLink]:
        """Claim links that are due for a look, those that wait longest first; none of those who are busy."""
        values = {"limit": limit, "seconds": POLL_LEASE_SECONDS, **passed_by(busy)}
        async with self._worker.transaction() as conn:
            claimed = await rows(conn, _CLAIM, values)
        if not claimed:
            return []
        organizations = {str(row["organization_id"]) for row in claimed}
        async with self._database.transaction(organizations=organizations) as conn:
            loaded = [await rows(conn, LINKS, link_filter(id=claim["id"])) for claim in claimed]
        return [_due(row) for [row] in loaded]

    async def extend(self, due: DueLink) -> None:
        """Go on being the link's only poller."""
        await self._own(due, _EXTEND, {})

    async def keep(self, due: DueLink, progress: Progress, *, rest: bool = False) -> None:
        """Keep where the next page begins; with `rest`, let other links have their turn first."""
        await self._own(due, _KEEP, {**_progress(progress), "total": progress.total, "rest": rest})

    async def finish(self, due: DueLink, progress: Progress, *, pause: float, seconds: float) -> None:
        """Keep where the look ended, the link's pause, and when exactly to look again.

        That is at once if somebody asked for a look since it became due.
        """
        values = {"pause": pause, "seconds": seconds, "due_at": due.due_at}
        await self._own(due, _FINISH, {**_progress(progress), **values})

    async def later(self, due: DueLink, *, seconds: float) -> None:
        """Look again later, although nothing was wrong with this look."""
        await self._own(due, _FAIL, {"seconds": seconds, "failed": 0})

    async def fail(self, due: DueLink, *, seconds: float, lost: bool) -> None:
        """Look again later; from the start if the vendor has forgotten where we were."""
        if lost:
            await self._own(due, _START_AGAIN, {})
        await self._own(due, _FAIL, {"seconds": seconds, "failed": 1})

    async def log(
        self, link: Link, *, started_at: datetime, records: int, looked_at: int, error: str = ""
    ) -> None:
        """Note a look that found something or failed."""
        async with self._database.transaction(organizations=[link.organization_id]) as conn:
            await conn.execute(
                _LOG,
                {
                    "id": new_id(),
                    "started_at": started_at,
                    "organization_id": link.organization_id,
                    "link_id": link.link_id,
                    "records": records,
                    "looked_at": looked_at,
                    "error": error,
                },
            )

    async def _own(self, due: DueLink, statement: TextClause, values: Mapping[str, Any]) -> None:
        names = {"id": due.link.link_id, "token": due.token, "lease": POLL_LEASE_SECONDS}
        async with self._database.transaction(organizations=[due.link.organization_id]) as conn:
            if await first(conn, statement, {**names, **values}) is None:
                raise LinkTaken


def _progress(progress: Progress) -> dict[str, Any]:
    return {
        "cursor": orjson.dumps(dict(progress.cursor)).decode(),
        "started_at": progress.started_at,
        "records": progress.records,
        "pages": progress.pages,
    }


def _due(row: Any) -> DueLink:
    return DueLink(
        link=link_from(row),
        cursor=row["cursor"],
        failures=row["poll_failures"],
        midway=row["midway"],
        token=str(row["poll_token"]),
        due_at=row["next_poll_at"],
    )
