"""When each link is looked at, how far that has come, and who does it: one poller per link."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from services.gateway.records import NOBODY, Busy, Link, Owner
from services.gateway.store.link_rows import LINKS_BY_ID, link_from
from services.gateway.store.sql import asked_rows, one_of, passed_by, records
from wedsync.errors import StaleRevision
from wedsync.model.ids import new_id
from wedsync.runtime.database import Database
from wedsync.runtime.round_trip import Statement
from wedsync.runtime.together import Together

_NEVER = datetime.max.replace(tzinfo=UTC)

POLL_LEASE_SECONDS = 60
"""A link is its poller's own for so long; it extends that, and after a crash another takes over then."""

_CLAIM = Statement(
    "claim_polls",
    f"""
    WITH due AS MATERIALIZED (
        SELECT organization_id, id FROM gateway.wedding_vendor_integrations
        WHERE state = 'active' AND next_poll_at <= now() AND poll_lease_until < clock_timestamp()
          AND integration_id <> ALL(%(integrations)s::uuid[]) AND vendor <> ALL(%(vendors)s::text[])
        ORDER BY next_poll_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
    UPDATE gateway.wedding_vendor_integrations l
    SET poll_lease_until = clock_timestamp() + make_interval(secs => %(seconds)s),
        poll_token = gen_random_uuid()
    FROM due WHERE l.id = due.id AND l.organization_id = due.organization_id AND {one_of("l.id", "id", "due")}
    RETURNING l.organization_id, l.id
""",
)


def _own(name: str, columns: str, change: str) -> Statement:
    """Return a change of links that are still the poller's own; its rows are those that were."""
    asked = asked_rows(f"id uuid, organization_id text, token uuid{columns}")
    return Statement(
        name,
        f"""
        UPDATE gateway.wedding_vendor_integrations l SET {change} FROM {asked} AS a
        WHERE l.organization_id = a.organization_id AND l.id = a.id AND l.poll_token = a.token
        RETURNING l.id
    """,
    )


_SOON = f"clock_timestamp() + make_interval(secs => {POLL_LEASE_SECONDS})"
_LATER = "clock_timestamp() + make_interval(secs => a.seconds)"
# What a first look has seen so far counts only until that has ended.
_COUNTED = """
    backfill_started_at = coalesce(l.backfill_started_at, a.started_at),
    backfill_records = l.backfill_records + CASE WHEN l.backfill_ended_at IS NULL THEN a.records ELSE 0 END,
    backfill_pages = l.backfill_pages + CASE WHEN l.backfill_ended_at IS NULL THEN a.pages ELSE 0 END
"""
_PROGRESS = ", cursor jsonb, started_at timestamptz, records bigint, pages int"

_EXTEND = _own("extend_poll", "", f"poll_lease_until = {_SOON}")
# Between two pages: the cursor is kept, so that whoever goes on begins with the next page.
_KEEP = _own(
    "keep_poll",
    f"{_PROGRESS}, total bigint, rest boolean",
    f"""
    cursor = a.cursor, midway = true, poll_failures = 0, {_COUNTED},
    backfill_expected = coalesce(a.total, l.backfill_expected),
    poll_lease_until = CASE WHEN a.rest THEN '-infinity' ELSE {_SOON} END,
    next_poll_at = CASE WHEN a.rest THEN clock_timestamp() ELSE l.next_poll_at END
""",
)
_FINISH = _own(
    "finish_poll",
    f"{_PROGRESS}, pause float, seconds float, due_at timestamptz",
    f"""
    cursor = a.cursor, midway = false, scanned_at = clock_timestamp(), poll_failures = 0,
    poll_seconds = a.pause, {_COUNTED},
    next_poll_at = CASE WHEN l.next_poll_at > a.due_at THEN l.next_poll_at ELSE {_LATER} END,
    poll_lease_until = '-infinity',
    backfill_ended_at = coalesce(l.backfill_ended_at, clock_timestamp())
""",
)
_FAIL = _own(
    "fail_poll",
    ", seconds float, failed int",
    f"""
    poll_failures = l.poll_failures + a.failed, poll_lease_until = '-infinity', next_poll_at = {_LATER}
""",
)
# Everything is looked at anew. What we know of the vendor tells how much that will be.
_START_AGAIN = _own(
    "start_poll_again",
    "",
    """
    cursor = NULL, midway = false, backfill_started_at = NULL, backfill_ended_at = NULL,
    backfill_records = 0, backfill_pages = 0,
    backfill_expected = (SELECT count(*) FROM gateway.shadow_items s
                         WHERE s.link_id = a.id AND s.record_id IS NOT NULL AND NOT s.gone)
""",
)
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


@dataclass(frozen=True, slots=True)
class _Change:
    """What is to become of a link by its poller's hand."""

    statement: Statement
    due: DueLink
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def organization_id(self) -> str:
        return self.due.link.organization_id

    @property
    def row(self) -> dict[str, Any]:
        place = {"id": self.due.link.link_id, "organization_id": self.organization_id}
        return {**place, "token": self.due.token, **self.values}


class LinkTaken(StaleRevision):
    """The link was paused, or is looked at by somebody else meanwhile."""


class PollStore:
    """Links as something to be looked at. What is to be kept raises `LinkTaken` once the link is not ours."""

    def __init__(self, database: Database, worker: Database) -> None:
        self._database, self._worker = database, worker
        self._own = Together[_Change, None](self._own_all)

    async def claim(self, limit: int, busy: Busy = NOBODY) -> list[DueLink]:
        """Claim links that are due for a look, those that wait longest first; none of those who are busy."""
        values = {"limit": limit, "seconds": POLL_LEASE_SECONDS, **passed_by(busy)}
        [claimed] = await self._worker.run((_CLAIM, values))
        if not claimed:
            return []
        organizations = {str(row["organization_id"]) for row in claimed}
        names = {"organizations": list(organizations), "ids": [str(row["id"]) for row in claimed]}
        [loaded] = await self._database.run((LINKS_BY_ID, names), organizations=organizations)
        return sorted(map(_due, loaded), key=lambda due: due.due_at)

    async def extend(self, due: DueLink) -> None:
        """Go on being the link's only poller."""
        await self._own(_Change(_EXTEND, due))

    async def keep(self, due: DueLink, progress: Progress, *, rest: bool = False) -> None:
        """Keep where the next page begins; with `rest`, let other links have their turn first."""
        values = {**_progress(progress), "total": progress.total, "rest": rest}
        await self._own(_Change(_KEEP, due, values))

    async def finish(self, due: DueLink, progress: Progress, *, pause: float, seconds: float) -> None:
        """Keep where the look ended, the link's pause, and when exactly to look again.

        That is at once if somebody asked for a look since it became due.
        """
        values = {"pause": pause, "seconds": seconds, "due_at": due.due_at}
        await self._own(_Change(_FINISH, due, {**_progress(progress), **values}))

    async def later(self, due: DueLink, *, seconds: float) -> None:
        """Look again later, although nothing was wrong with this look."""
        await self._own(_Change(_FAIL, due, {"seconds": seconds, "failed": 0}))

    async def fail(self, due: DueLink, *, seconds: float, lost: bool) -> None:
        """Look again later; from the start if the vendor has forgotten where we were."""
        if lost:
            await self._own(_Change(_START_AGAIN, due))
        await self._own(_Change(_FAIL, due, {"seconds": seconds, "failed": 1}))

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

    async def _own_all(self, changes: Sequence[_Change]) -> list[Exception | None]:
        """Do what is asked of several links; each that is no more its poller's own is left as it is."""
        of_kind: dict[Statement, list[_Change]] = {}
        for change in changes:
            of_kind.setdefault(change.statement, []).append(change)
        asked = [(statement, records(each.row for each in those)) for statement, those in of_kind.items()]
        done = await self._database.run(*asked, organizations={each.organization_id for each in changes})
        kept = {str(row["id"]) for found in done for row in found}
        return [None if each.due.link.link_id in kept else LinkTaken() for each in changes]


def _progress(progress: Progress) -> dict[str, Any]:
    return {
        "cursor": dict(progress.cursor),
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
