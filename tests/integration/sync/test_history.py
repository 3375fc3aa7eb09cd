"""Weddings as they were; owners run in this process."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.integration.sync.conftest import InProcess, new_wedding, refused
from tests.support.database import MigratedDatabase
from tests.unit.sync.builders import create, delete, update, vendor
from tests.unit.sync.past import Past
from wedsync.api.sync.v1 import service_pb2
from wedsync.client import SyncClient
from wedsync.convert import item_from_message
from wedsync.convert.changes import timestamp
from wedsync.errors import FailedPrecondition, NotFound, UnknownWedding
from wedsync.model.changes import Change, ChangeKind, ItemState, Source
from wedsync.model.ids import new_id
from wedsync.model.items import ItemKind

TAVE = vendor("tave", "event/1")
ADA = Source(organization_id="studio", actor="ada")


def at(sequence: int) -> service_pb2.AsOf:
    """Return the moment after a sequence."""
    return service_pb2.AsOf(sequence=sequence)


def on(time: Timestamp) -> service_pb2.AsOf:
    """Return a moment in time."""
    return service_pb2.AsOf(time=time)


def earlier(time: Timestamp) -> Timestamp:
    """Return the time one microsecond before."""
    return timestamp(time.ToDatetime(tzinfo=UTC) - timedelta(microseconds=1))


async def items(sync: SyncClient, wedding_id: str, **asked: Any) -> dict[str, ItemState]:
    """Return a wedding's items by id."""
    found = [item_from_message(item) async for item in sync.list_items(wedding_id, **asked)]
    assert [item.item_id for item in found] == sorted(item.item_id for item in found)
    return {item.item_id: item for item in found}


def told(item: ItemState) -> tuple[bool, dict[str, tuple[Any, int]]]:
    """Return what an item says, and since when."""
    return item.deleted, {path: (state.value, state.revision) for path, state in item.fields.items()}


def some_edits(seed: int, count: int) -> list[Change]:
    """Return edits of a few items by several parties, any of which may collide or make no sense."""
    dice, ids = random.Random(seed), [new_id() for _ in range(6)]  # noqa: S311  # the same each time
    return [_edit(dice, dice.choice(ids), number) for number in range(count)]


def _edit(dice: random.Random, item_id: str, number: int) -> Change:
    kind = dice.choice([*ChangeKind, ChangeKind.UPDATE, ChangeKind.UPDATE])
    values = {"title": dice.choice("abc"), dice.choice(["location", "notes"]): dice.choice("abc")}
    return Change(
        change_id=new_id(),
        item_id=item_id,
        item_kind=ItemKind.TIMELINE_EVENT,
        kind=kind,
        source=dice.choice([ADA, TAVE, vendor("cal", "other")]),
        values=values if kind in {ChangeKind.CREATE, ChangeKind.UPDATE} else {},
        default_base=dice.choice([None, number]),
    )


@pytest.fixture
def service(in_process: InProcess) -> InProcess:
    """The service of these tests."""
    return in_process


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_moment_is_what_the_log_had_made_of_it(service: InProcess, seed: int) -> None:
    """As of any sequence, items and wedding are what folding the log up to there gives."""
    async with service.client(service.keys.gateway) as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        changes, past = some_edits(seed, 120), Past()
        past.take(*changes)
        await sync.apply_changes(wedding_id, changes, on_behalf=True)
        assert past.wedding.sequence > 40
        for sequence in range(past.wedding.sequence + 1):
            found = await items(sync, wedding_id, as_of=at(sequence), show_deleted=True, page_size=4)
            assert {key: told(item) for key, item in found.items()} == {
                key: told(item) for key, item in past.states[sequence].items()
            }
            full = await sync.get_wedding(wedding_id, as_of=at(sequence), full=True)
            alive = {key for key, item in past.states[sequence].items() if not item.deleted}
            assert ({item.item_id for item in full.items}, full.sequence) == (alive, sequence)


async def test_a_time_is_the_last_change_until_then(service: InProcess) -> None:
    """The commit time of a change shows it, a moment earlier shows what was before, the future shows now."""
    async with service.client() as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        made = create("One")
        await sync.apply_changes(wedding_id, [made])
        for title in ("Two", "Three"):
            await sync.apply_changes(wedding_id, [update(made.item_id, {"title": title})])
        times = [entry.commit_time async for entry in sync.list_changes(wedding_id)]
        for sequence, time in enumerate(times, 1):
            shown = await sync.get_wedding(wedding_id, as_of=on(time), full=True)
            assert (shown.sequence, shown.update_time) == (sequence, time)
            before = await sync.get_wedding(wedding_id, as_of=on(earlier(time)))
            assert before.sequence == sequence - 1
        assert not (await sync.get_wedding(wedding_id, as_of=on(earlier(times[0])))).HasField("update_time")
        assert (await sync.get_wedding(wedding_id, as_of=on(Timestamp(seconds=1)))).sequence == 0
        some_day = timestamp(datetime(2200, 1, 1, tzinfo=UTC))
        assert (await sync.get_wedding(wedding_id, as_of=on(some_day))).sequence == 3
        item = await sync.get_item(wedding_id, made.item_id, as_of=on(times[1]))
        assert item.content.timeline_event.title == "Two"


async def test_before_it_was_born_an_item_is_not_there(service: InProcess) -> None:
    """As of a moment before its birth an item is neither found nor listed; deleted later, it is shown."""
    async with service.client() as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        first, second = create("One"), create("Two")
        await sync.apply_changes(wedding_id, [first, second, delete(first.item_id)])
        with pytest.raises(NotFound):
            await sync.get_item(wedding_id, second.item_id, as_of=at(1))
        with pytest.raises(NotFound):
            await sync.get_item(wedding_id, new_id(), as_of=at(1))
        assert set(await items(sync, wedding_id, as_of=at(0))) == set()
        assert set(await items(sync, wedding_id, as_of=at(1))) == {first.item_id}
        assert set(await items(sync, wedding_id, as_of=at(3))) == {second.item_id}
        assert not (await sync.get_item(wedding_id, first.item_id, as_of=at(2))).deleted
        assert (await sync.get_item(wedding_id, first.item_id, as_of=at(3))).deleted


async def test_a_full_view_has_the_items(service: InProcess) -> None:
    """FULL shows what is not deleted, BASIC no items; more than 1,000 items are to be listed."""
    async with service.client() as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        made = [create(f"Event {number}") for number in range(500)]
        await sync.apply_changes(wedding_id, made)
        await sync.apply_changes(wedding_id, [create("More") for _ in range(500)])
        assert len((await sync.get_wedding(wedding_id)).items) == 0
        assert len((await sync.get_wedding(wedding_id, full=True)).items) == 1000
        await sync.apply_changes(wedding_id, [create("Too many")])
        with pytest.raises(FailedPrecondition, match="list them"):
            await sync.get_wedding(wedding_id, full=True)
        assert len((await sync.get_wedding(wedding_id, full=True, as_of=at(1000))).items) == 1000
        await sync.apply_changes(wedding_id, [delete(made[0].item_id)])
        assert len((await sync.get_wedding(wedding_id, full=True)).items) == 1000
        assert len(await items(sync, wedding_id, as_of=at(1001), page_size=500)) == 1001


async def test_moments_that_are_none_are_refused(service: InProcess) -> None:
    """An empty moment, a negative sequence, one that is still to come, and a time out of range are named."""
    async with service.client() as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        await sync.apply_changes(wedding_id, [create()])
        far = Timestamp(seconds=1 << 50)
        for moment, field in (
            (service_pb2.AsOf(), "as_of"),
            (at(-1), "as_of.sequence"),
            (at(2), "as_of.sequence"),
            (on(far), "as_of.time"),
        ):
            assert await refused(sync.get_wedding(wedding_id, as_of=moment)) == [field]
            assert await refused(sync.get_item(wedding_id, new_id(), as_of=moment)) == [field]
            assert await refused(anext(sync.list_items(wedding_id, as_of=moment))) == [field]


async def test_what_was_before_states_were_kept_is_refused(
    service: InProcess, migrated_database: MigratedDatabase
) -> None:
    """Entries of older programs hold no state: looking there says from which sequence on that is possible."""
    async with service.client() as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        old, untouched = create("Old"), create("Untouched")
        await sync.apply_changes(wedding_id, [old, untouched, update(old.item_id, {"title": "Older"})])
        with psycopg.connect(migrated_database.admin_url) as admin:
            admin.execute("UPDATE sync.changes SET state = NULL WHERE wedding_id = %s", [wedding_id])
        await sync.apply_changes(wedding_id, [create("New"), update(old.item_id, {"title": "New"})])
        for sequence in (1, 2, 3, 4):
            with pytest.raises(FailedPrecondition, match="from sequence 5 on") as error:
                await sync.get_wedding(wedding_id, as_of=at(sequence), full=True)
            assert error.value.metadata == {"from_sequence": "5"}
        with pytest.raises(FailedPrecondition, match="from sequence 5 on"):
            await sync.get_item(wedding_id, old.item_id, as_of=at(3))
        shown = await items(sync, wedding_id, as_of=at(5))
        assert {item.value("title") for item in shown.values()} == {"New", "Untouched"}
        assert (await sync.get_item(wedding_id, untouched.item_id, as_of=at(2))).item_id


async def test_the_past_is_for_members_only(service: InProcess) -> None:
    """To other organizations a wedding does not exist, whatever moment they ask about."""
    async with service.client() as studio, service.client(service.keys.florist) as florist:
        secret = (await new_wedding(studio)).wedding_id
        made = create("One")
        await studio.apply_changes(secret, [made])
        for call in (
            florist.get_wedding(secret, as_of=at(1), full=True),
            florist.get_wedding(secret, full=True),
            florist.get_item(secret, made.item_id, as_of=at(1)),
            anext(florist.list_items(secret, as_of=at(1))),
        ):
            with pytest.raises(UnknownWedding):
                await call
