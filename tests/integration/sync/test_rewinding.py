"""Pausing, resuming and rewinding weddings; owners run in this process."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import psycopg
import pytest

from services.sync.retention import DAYS
from services.sync.store_worker import KeyStore
from tests.integration.sync.conftest import FakeGateway, InProcess, new_wedding, refused, soon
from tests.support.database import MigratedDatabase
from tests.unit.sync.builders import create, delete, update, vendor
from tests.unit.sync.past import visible
from wedsync.api.sync.v1 import change_pb2, service_pb2
from wedsync.client import SyncClient, wedding_message
from wedsync.clock import SystemClock
from wedsync.convert import item_from_message
from wedsync.errors import (
    ChangeIdReused,
    FailedPrecondition,
    PermissionDenied,
    UnknownWedding,
    WeddingPaused,
)
from wedsync.model.changes import PAYMENT_PROCESSOR, ItemState, Outcome, Source
from wedsync.model.ids import new_id
from wedsync.model.items import ItemKind
from wedsync.runtime.database import Database

TAVE = vendor("tave", "event/1")
STRIPE = Source(
    organization_id="studio",
    actor="integration:2",
    link_id=new_id(),
    vendor="stripe",
    record_id="pi_1",
    category=PAYMENT_PROCESSOR,
)


@pytest.fixture
def service(in_process: InProcess) -> InProcess:
    """The service of these tests."""
    return in_process


async def seen(sync: SyncClient, wedding_id: str, **asked: Any) -> dict[str, dict[str, Any]]:
    """Return the values people see, by item."""
    found: list[ItemState] = [item_from_message(item) async for item in sync.list_items(wedding_id, **asked)]
    return visible(found)


async def as_of(sync: SyncClient, wedding_id: str, sequence: int) -> dict[str, dict[str, Any]]:
    """Return the values people saw after a sequence."""
    return await seen(sync, wedding_id, as_of=service_pb2.AsOf(sequence=sequence))


async def test_a_paused_wedding_takes_nothing_until_it_is_resumed(service: InProcess) -> None:
    """Every change is refused with reason and time to wait, what is there can be read; then it goes on."""
    made, late = create("Toast", source=TAVE), create("Late", source=TAVE)
    async with service.client() as studio, service.client(service.keys.gateway) as gateway:
        wedding_id = (await new_wedding(studio)).wedding_id
        await gateway.apply_changes(wedding_id, [made])
        paused = await studio.pause_wedding(wedding_id, "The marquee burned down")
        assert (paused.paused, paused.pause_reason, paused.sequence) == (True, "The marquee burned down", 2)
        with pytest.raises(WeddingPaused, match="The marquee burned down") as error:
            await gateway.apply_changes(wedding_id, [late], on_behalf=True)
        assert error.value.retry_after
        (again,) = await gateway.apply_changes(wedding_id, [made], on_behalf=True)
        assert again.outcome is Outcome.DUPLICATE
        listed = {wedding.wedding_id: wedding async for wedding in studio.list_weddings()}
        assert listed[wedding_id].paused
        assert set(await seen(studio, wedding_id)) == {made.item_id}
        resumed = await studio.resume_wedding(wedding_id)
        assert (resumed.paused, resumed.pause_reason, resumed.sequence) == (False, "", 3)
        (taken,) = await gateway.apply_changes(wedding_id, [late], on_behalf=True)
        assert taken.outcome is Outcome.APPLIED
        was = await studio.get_wedding(wedding_id, as_of=service_pb2.AsOf(sequence=2), full=True)
        assert (was.paused, was.pause_reason) == (True, "The marquee burned down")
        assert {item.item_id for item in was.items} == {made.item_id}


async def test_pausing_is_logged_and_shown_to_watchers(service: InProcess) -> None:
    """It has a place in the log with who did it and why, and whoever watches sees it at once."""
    async with service.client() as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        async with aclosing(sync.watch_wedding(wedding_id)) as live:
            await anext(live)
            await sync.pause_wedding(wedding_id, "Rain")
            async with asyncio.timeout(5):
                change = (await anext(live)).change
        assert (change.sequence, change.source.actor, change.item_id) == (1, "studio", wedding_id)
        assert [(field.path, field.proposed.text) for field in change.fields] == [
            ("paused", ""),
            ("pause_reason", "Rain"),
        ]


async def test_the_same_pause_again_is_one(service: InProcess) -> None:
    """Pausing what is paused, resuming what goes on, and repeating a request change and log nothing."""
    async with service.client() as sync:
        wedding_id, request = (await new_wedding(sync)).wedding_id, new_id()
        assert (await sync.resume_wedding(wedding_id)).sequence == 0
        await sync.pause_wedding(wedding_id, "Rain", request_id=request)
        again = await sync.pause_wedding(wedding_id, "Snow")
        assert (again.sequence, again.pause_reason) == (1, "Rain")
        await sync.resume_wedding(wedding_id)
        assert not (await sync.pause_wedding(wedding_id, "Rain", request_id=request)).paused
        with pytest.raises(ChangeIdReused):
            await sync.pause_wedding(wedding_id, "Snow", request_id=request)
        assert len([entry async for entry in sync.list_changes(wedding_id)]) == 2


async def test_on_the_day_pausing_and_rewinding_are_critical(service: InProcess) -> None:
    """In the wedding's live window they travel in its lane, as every edit does."""
    today = f"{SystemClock().now():%Y-%m-%d}"
    async with service.client() as sync:
        wedding = await sync.create_wedding(wedding_message("Ada & Grace", today, "UTC"))
        await sync.apply_changes(wedding.wedding_id, [create()])
        await sync.pause_wedding(wedding.wedding_id, "Rain")
        await sync.rewind_wedding(wedding.wedding_id, 0)
        found = [entry.priority async for entry in sync.list_changes(wedding.wedding_id)]
        assert found == [change_pb2.PRIORITY_CRITICAL] * 3


async def test_who_may_not_pause_or_rewind(service: InProcess) -> None:
    """Readers lack the scope, to others the wedding does not exist, and what is malformed is named."""
    async with (
        service.client() as studio,
        service.client(service.keys.reader) as reader,
        service.client(service.keys.florist) as florist,
    ):
        wedding_id = (await new_wedding(studio)).wedding_id
        for sync, error in ((reader, PermissionDenied), (florist, UnknownWedding)):
            for call in (
                sync.pause_wedding(wedding_id, "Rain"),
                sync.resume_wedding(wedding_id),
                sync.rewind_wedding(wedding_id, 0),
            ):
                with pytest.raises(error):
                    await call
        for reason in ("", "two\nlines", "x" * 201):
            assert await refused(studio.pause_wedding(wedding_id, reason)) == ["reason"]
        assert await refused(studio.resume_wedding(wedding_id, request_id="1")) == ["request_id"]
        assert await refused(studio.rewind_wedding(wedding_id, -1, request_id="1")) == [
            "request_id",
            "to_sequence",
        ]
        assert await refused(studio.rewind_wedding(wedding_id, 1)) == ["to_sequence"]
        nobody = service_pb2.SourceFilter()
        assert await refused(studio.rewind_wedding(wedding_id, 0, source=nobody)) == ["source"]


async def test_a_rewind_brings_the_wedding_back(service: InProcess) -> None:
    """A dry run only tells; the rewind is logged with its policy; going back to before it undoes it."""
    async with service.client() as sync:
        toast, dance = create("Toast"), create("Dance")
        wedding_id = (await new_wedding(sync)).wedding_id
        await sync.apply_changes(wedding_id, [toast, dance])
        await sync.apply_changes(
            wedding_id,
            [update(toast.item_id, {"title": "Speech"}), delete(dance.item_id), create("Fireworks")],
        )
        told = await sync.rewind_wedding(wedding_id, 2, dry_run=True)
        assert (len(told.changes), len(told.results), told.sequence) == (3, 0, 5)
        assert (await sync.get_wedding(wedding_id)).sequence == 5
        done = await sync.rewind_wedding(wedding_id, 2)
        assert {(c.item_id, c.kind) for c in done.changes} == {(c.item_id, c.kind) for c in told.changes}
        assert [result.outcome for result in done.results] == [change_pb2.OUTCOME_APPLIED] * 3
        assert done.sequence == 8
        assert await seen(sync, wedding_id) == await as_of(sync, wedding_id, 2)
        logged = [entry async for entry in sync.list_changes(wedding_id, after_sequence=5)]
        assert {(entry.source.actor, entry.source.policy) for entry in logged} == {("studio", "rewind:2")}
        await sync.rewind_wedding(wedding_id, 5)
        assert await seen(sync, wedding_id) == await as_of(sync, wedding_id, 5)


async def test_a_repeated_rewind_is_one(service: InProcess) -> None:
    """The same request again does nothing, whatever happened since, and answers alike; another is refused."""
    async with service.client() as sync:
        toast, request = create("Toast"), new_id()
        wedding_id = (await new_wedding(sync)).wedding_id
        await sync.apply_changes(wedding_id, [toast, update(toast.item_id, {"title": "Speech"})])
        first = await sync.rewind_wedding(wedding_id, 1, request_id=request)
        await sync.apply_changes(wedding_id, [update(toast.item_id, {"title": "Newer"}), create("More")])
        again = await sync.rewind_wedding(wedding_id, 1, request_id=request)
        assert [c.change_id for c in again.changes] == [c.change_id for c in first.changes]
        assert [r.outcome for r in again.results] == [change_pb2.OUTCOME_DUPLICATE]
        assert again.results[0].fields == first.results[0].fields
        assert (await seen(sync, wedding_id))[toast.item_id] == {"title": "Newer"}
        for other in ({"to_sequence": 0}, {"to_sequence": 1, "source": service_pb2.SourceFilter(actor="a")}):
            with pytest.raises(ChangeIdReused):
                await sync.rewind_wedding(wedding_id, request_id=request, **other)


async def test_a_rewind_is_forgotten_with_its_change_ids(
    service: InProcess, migrated_database: MigratedDatabase
) -> None:
    """After 30 days a request's id means nothing any more; a younger one is kept."""
    async with service.client() as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        requests = [new_id(), new_id()]
        for request in requests:
            await sync.rewind_wedding(wedding_id, 0, request_id=request)
    with psycopg.connect(migrated_database.admin_url, autocommit=True) as admin:
        admin.execute(
            "UPDATE sync.rewinds SET created_at = now() - interval '31 days' WHERE request_id = %s",
            [requests[0]],
        )
        worker = Database(migrated_database.worker_url("sync"))
        await KeyStore(worker).forget(days=DAYS, limit=1)
        await worker.dispose()
        kept = admin.execute(
            "SELECT request_id::text FROM sync.rewinds WHERE wedding_id = %s", [wedding_id]
        ).fetchall()
    assert kept == [(requests[1],)]


async def test_a_large_rewind_takes_several_submissions(service: InProcess) -> None:
    """More changes than fit one submission are all made, in one call."""
    async with service.client() as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        for _ in range(3):
            await sync.apply_changes(wedding_id, [create() for _ in range(300)])
        done = await sync.rewind_wedding(wedding_id, 0)
        assert (len(done.results), done.sequence) == (900, 1800)
        assert await seen(sync, wedding_id) == {}


async def test_too_large_a_rewind_goes_in_steps(service: InProcess) -> None:
    """What one call cannot bring back is refused before anything is done; smaller steps get there."""
    async with service.client() as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        for _ in range(5):
            await sync.apply_changes(wedding_id, [create() for _ in range(450)])
        with pytest.raises(FailedPrecondition, match="in steps"):
            await sync.rewind_wedding(wedding_id, 0)
        assert (await sync.get_wedding(wedding_id)).sequence == 2250
        await sync.rewind_wedding(wedding_id, 1000)
        assert await seen(sync, wedding_id) == await as_of(sync, wedding_id, 1000)


async def test_a_paused_wedding_can_be_rewound(service: InProcess) -> None:
    """Rewinding is let through, and leaves the pause as it is."""
    async with service.client() as sync:
        toast = create("Toast")
        wedding_id = (await new_wedding(sync)).wedding_id
        await sync.apply_changes(wedding_id, [toast, update(toast.item_id, {"title": "Speech"})])
        await sync.pause_wedding(wedding_id, "Something went wrong")
        await sync.rewind_wedding(wedding_id, 1)
        wedding = await sync.get_wedding(wedding_id, full=True)
        assert (wedding.paused, wedding.items[0].content.timeline_event.title) == (True, "Toast")


async def test_one_vendor_is_undone(service: InProcess) -> None:
    """Only what it set since goes back; what others set, before or since, stays."""
    async with service.client(service.keys.gateway) as sync:
        toast, dance = create("Toast"), create("Dance", source=TAVE)
        wedding_id = (await new_wedding(sync)).wedding_id
        await sync.apply_changes(wedding_id, [toast], on_behalf=True)
        changes = [
            dance,
            update(toast.item_id, {"title": "T1", "notes": "T1"}, source=TAVE),
            update(toast.item_id, {"title": "By cal"}, source=vendor("cal", "uid")),
            update(toast.item_id, {"title": "T2", "location": "T2"}, source=TAVE),
            update(toast.item_id, {"notes": "by ada"}),
        ]
        await sync.apply_changes(wedding_id, changes, on_behalf=True)
        for source in (service_pb2.SourceFilter(vendor="tave"), service_pb2.SourceFilter(link_id="tave")):
            dry = await sync.rewind_wedding(wedding_id, 1, source=source, dry_run=True)
            assert len(dry.changes) == 2
        await sync.rewind_wedding(wedding_id, 1, source=source)
        assert await seen(sync, wedding_id) == {toast.item_id: {"title": "By cal", "notes": "by ada"}}


async def test_what_is_not_rewound_is_listed(service: InProcess) -> None:
    """What a payment processor said of money and what people were told stays, with the reason in words."""
    async with service.client(service.keys.gateway) as sync:
        values = {"amount": "12500 EUR", "memo": "Deposit"}
        known = create(values=values, item_kind=ItemKind.PAYMENT, source=STRIPE)
        wedding_id = (await new_wedding(sync)).wedding_id
        await sync.apply_changes(wedding_id, [known], on_behalf=True)
        born = create(values={"amount": "900 EUR"}, item_kind=ItemKind.PAYMENT, source=STRIPE)
        said = create(values={"text": "Rain!"}, item_kind=ItemKind.MESSAGE)
        paid = update(known.item_id, {"status": "paid"}, item_kind=ItemKind.PAYMENT, source=STRIPE)
        noted = update(known.item_id, {"memo": "?"}, item_kind=ItemKind.PAYMENT)
        await sync.apply_changes(wedding_id, [born, said, paid, noted], on_behalf=True)
        done = await sync.rewind_wedding(wedding_id, 1)
        assert [(change.item_id, list(change.update_mask.paths)) for change in done.changes] == [
            (known.item_id, ["memo"])
        ]
        why = {(kept.item_id, kept.path): kept.reason for kept in done.not_rewound}
        assert set(why) == {
            (known.item_id, "status"),
            (born.item_id, "deleted_at"),
            (said.item_id, "deleted_at"),
        }
        assert why[known.item_id, "status"].startswith("stripe told it")
        assert why[said.item_id, "deleted_at"] == "a message that was said cannot be unsaid"


async def test_pauses_stay_here_and_rewinds_go_to_the_gateway(service: InProcess) -> None:
    """The gateway hears of every change but of pausing, which no vendor keeps."""
    gateway = FakeGateway(service.gateway_target)
    await gateway.start()
    try:
        async with service.client() as sync:
            wedding_id = (await new_wedding(sync)).wedding_id
            await sync.apply_changes(wedding_id, [create()])
            await sync.pause_wedding(wedding_id, "Rain")
            await sync.rewind_wedding(wedding_id, 0)
            await soon(lambda: gateway.told(wedding_id) == [1, 3], 20, "the gateway was told")
            assert gateway.commits[-1].item.deleted
    finally:
        await gateway.stop()
