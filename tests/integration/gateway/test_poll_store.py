"""When links are looked at, on a real PostgreSQL: by one poller, page by page, and how far that has come."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from services.gateway.store.polls import DueLink, LinkTaken, Progress
from services.gateway.vendors.port import Account
from tests.support.database import MigratedDatabase
from tests.support.gateway_store import SEEN_AT, Stores, Tenant, an_edit, new_tenant, opened_stores


def pages(cursor: dict[str, Any] | None = None, *, records: int = 0, total: int | None = None) -> Progress:
    """Return what one page brought."""
    return Progress(cursor=cursor or {}, started_at=SEEN_AT, records=records, pages=1, total=total)


async def claimed(stores: Stores) -> DueLink:
    """Return the only link that is due."""
    [due] = await stores.polls.claim(5)
    return due


async def finished(stores: Stores, due: DueLink, progress: Progress, *, seconds: float = 0) -> None:
    """End a look."""
    await stores.polls.finish(due, progress, pause=60, seconds=seconds)


async def test_a_link_is_polled_by_one(
    stores: Stores, tenant: Tenant, migrated_database: MigratedDatabase
) -> None:
    """A due link is claimed by one of many pollers, and again after a crash."""
    async with opened_stores(migrated_database) as other:
        asked = [replica.polls.claim(5) for _ in range(4) for replica in (stores, other)]
        claims = [due for share in await asyncio.gather(*asked) for due in share]
    assert [(due.link.link_id, due.cursor, due.failures) for due in claims] == [
        (tenant.link.link_id, None, 0)
    ]
    stores.leases_end()
    assert len(await stores.polls.claim(5)) == 1


async def test_whoever_lost_the_link_keeps_nothing(stores: Stores, tenant: Tenant) -> None:
    """A poller that was too slow, or whose link was paused, can neither extend nor move the cursor."""
    slow = await claimed(stores)
    await stores.polls.extend(slow)
    stores.leases_end()
    quick = await claimed(stores)
    for kept in (
        stores.polls.extend(slow),
        stores.polls.keep(slow, pages({"page": 9})),
        finished(stores, slow, pages({"page": 9})),
        stores.polls.fail(slow, seconds=0, lost=True),
    ):
        with pytest.raises(LinkTaken):
            await kept
    await stores.polls.keep(quick, pages({"page": 1}), rest=True)
    assert (await claimed(stores)).cursor == {"page": 1}
    await stores.links.set_state(tenant.link, active=False, reason="asked")
    with pytest.raises(LinkTaken):
        await stores.polls.extend(quick)


async def test_the_cursor_is_kept_for_the_next_scan(stores: Stores, tenant: Tenant) -> None:
    """A scan's end is the next one's start, its time is known, and failures are forgotten."""
    await stores.polls.fail(await claimed(stores), seconds=0, lost=False)
    await finished(stores, await claimed(stores), pages({"token": "7", "seen": ["é"]}))
    due = await claimed(stores)
    assert (due.cursor, due.failures, due.midway) == ({"token": "7", "seen": ["é"]}, 0, False)
    assert due.link.scanned_at is not None
    assert due.link.poll_seconds == 60
    await finished(stores, due, pages(), seconds=3600)
    assert await stores.polls.claim(5) == []
    await stores.links.poll_now(tenant.link)
    assert len(await stores.polls.claim(5)) == 1


async def test_a_failed_scan_keeps_the_cursor_unless_it_is_lost(stores: Stores, tenant: Tenant) -> None:
    """Failures are counted; only a lost cursor is dropped, and then everything is looked at anew."""
    await an_edit(stores, tenant, title="Vows")
    await finished(stores, await claimed(stores), pages({"token": "7"}))
    seen, due = [], await claimed(stores)
    for lost in (False, False, True):
        await stores.polls.fail(due, seconds=0, lost=lost)
        due = await claimed(stores)
        seen.append((due.cursor, due.failures, due.backfilling))
    assert seen == [({"token": "7"}, 1, False), ({"token": "7"}, 2, False), (None, 3, True)]
    assert due.link.backfill.expected == 1
    await stores.polls.fail(due, seconds=3600, lost=False)
    assert await stores.polls.claim(5) == []


async def test_the_first_look_at_everything_goes_on_where_it_was(stores: Stores, tenant: Tenant) -> None:
    """Cursor and progress are kept with each page, whoever goes on; only the last page ends it."""
    await stores.polls.keep(await claimed(stores), pages({"page": 1}, records=100, total=250))
    stores.leases_end()
    due = await claimed(stores)
    assert (due.cursor, due.midway, due.backfilling) == ({"page": 1}, True, True)
    await stores.polls.keep(due, pages({"page": 2}, records=100), rest=True)
    again = await claimed(stores)
    backfill = again.link.backfill
    assert (backfill.records, backfill.pages, backfill.expected) == (200, 2, 250)
    assert backfill.started_at == SEEN_AT
    await finished(stores, again, pages({"token": "7"}, records=50))
    done = await claimed(stores)
    assert (done.link.backfill.records, done.link.backfill.pages, done.backfilling) == (250, 3, False)
    await finished(stores, done, pages({"token": "8"}, records=5))
    later = await stores.links.find_link([tenant.link.organization_id], tenant.link.link_id)
    assert later is not None
    assert later.backfill == replace(done.link.backfill)


@pytest.mark.usefixtures("tenant")
async def test_a_vendor_may_say_it_has_more_records_than_fit_into_32_bits(stores: Stores) -> None:
    """What it claims is kept as it is said, and stops no look."""
    await stores.polls.keep(await claimed(stores), pages({"page": 1}, total=5_000_000_000), rest=True)
    assert (await claimed(stores)).link.backfill.expected == 5_000_000_000


async def test_looks_that_end_together_fare_by_themselves(stores: Stores, tenant: Tenant) -> None:
    """One that lost its link, and one whose cursor cannot be kept, take nothing from the others."""
    for _ in range(3):
        await new_tenant(stores)
    lost, garbled, *well = await stores.polls.claim(5)
    cursors: list[dict[str, Any]] = [{"page": page} for page in (1, "\0", 2, 3)]
    ends = [
        finished(stores, due, pages(cursor), seconds=0)
        for due, cursor in zip(
            (replace(lost, token=tenant.link.link_id), garbled, *well), cursors, strict=True
        )
    ]
    outcomes = await asyncio.gather(*ends, return_exceptions=True)
    assert isinstance(outcomes[0], LinkTaken)
    assert isinstance(outcomes[1], Exception)
    assert outcomes[2:] == [None, None]
    kept = {due.link.link_id: due.cursor for due in await stores.polls.claim(5)}
    assert kept == {due.link.link_id: cursor for due, cursor in zip(well, cursors[2:], strict=True)}


async def test_a_paused_link_is_left_alone(stores: Stores, tenant: Tenant) -> None:
    """A paused link says why and is not polled; resumed, it is due at once."""
    await stores.links.set_state(tenant.link, active=False, reason="too many gone")
    assert await stores.polls.claim(5) == []
    paused = await stores.links.find_link([tenant.link.organization_id], tenant.link.link_id)
    assert paused is not None
    assert (paused.active, paused.reason) == (False, "too many gone")
    await stores.links.set_state(paused, active=True)
    [due] = await stores.polls.claim(5)
    assert (due.link.active, due.link.reason) == (True, "")


async def test_deletes_that_a_person_believes_stop_no_link(stores: Stores, tenant: Tenant) -> None:
    """A doubt that comes after its answer changes nothing; one before it, or when it is over, does."""
    assert await stores.links.doubt_deletes(tenant.link, "gone?")
    await stores.links.set_state(tenant.link, active=True, believing=60.0)
    assert not await stores.links.doubt_deletes(tenant.link, "gone?")
    link = await stores.links.find_link([tenant.link.organization_id], tenant.link.link_id)
    assert link is not None
    assert (link.active, link.reason) == (True, "")
    over = "UPDATE gateway.wedding_vendor_integrations SET deletes_believed_until = now() WHERE id = %s"
    stores.sql(over, tenant.link.link_id)
    assert await stores.links.doubt_deletes(tenant.link, "gone again?")


async def test_an_account_that_was_connected_again_stops_no_link(stores: Stores, tenant: Tenant) -> None:
    """Who comes with a refusal of the credentials of before changes nothing."""
    link, account = tenant.link, Account(integration_id=tenant.link.integration_id, base_url="https://v.test")
    assert await stores.links.refuse_account(link, "401")
    integration = await stores.links.integration([link.organization_id], link.integration_id)
    assert integration is not None
    await stores.links.update(integration, account)
    await stores.links.set_state(link, active=True)
    assert not await stores.links.refuse_account(link, "401")
    now = await stores.links.find_link([link.organization_id], link.link_id)
    assert now is not None
    assert now.active
    assert await stores.links.refuse_account(now, "401 again")


async def test_scans_are_logged(stores: Stores, tenant: Tenant) -> None:
    """What a scan saw, or why it failed, is kept."""
    await stores.polls.log(tenant.link, started_at=SEEN_AT, records=3, looked_at=1)
    await stores.polls.log(tenant.link, started_at=SEEN_AT, records=0, looked_at=0, error="busy")
    rows = stores.sql(
        "SELECT records, looked_at, error FROM gateway.integration_sync_log"
        " WHERE link_id = %s ORDER BY error",
        tenant.link.link_id,
    )
    assert [tuple(row.values()) for row in rows] == [(3, 1, ""), (0, 0, "busy")]
