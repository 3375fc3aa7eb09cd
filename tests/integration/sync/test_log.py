"""A wedding's log by what is asked for; owners run in this process."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.integration.sync.conftest import InProcess, new_wedding, refused
from tests.support.database import MigratedDatabase
from tests.unit.sync.builders import create, delete, update
from wedsync.api.common.v1 import item_pb2
from wedsync.api.sync.v1 import change_pb2, service_pb2, service_pb2_grpc
from wedsync.client import SyncClient, open_channel
from wedsync.client.calls import unary
from wedsync.errors import UnknownWedding
from wedsync.model.changes import Source
from wedsync.model.ids import new_id
from wedsync.model.items import ItemKind

TAVE = Source(
    organization_id="studio",
    actor="integration:1",
    link_id=new_id(),
    vendor="tave",
    record_id="event/1",
    category="crm",
    event_id=new_id(),
)
ADA = Source(organization_id="studio", actor="ada")


@pytest.fixture
def service(in_process: InProcess) -> InProcess:
    """The service of these tests."""
    return in_process


async def log(sync: SyncClient, wedding_id: str, **asked: Any) -> list[int]:
    """Return the sequences of what a filter finds."""
    only = service_pb2.ChangeFilter(**asked)
    return [entry.sequence async for entry in sync.list_changes(wedding_id, only=only, page_size=2)]


async def test_the_log_is_filtered(service: InProcess) -> None:
    """By field, kind, vendor, link, actor, outcome, id, time and item, by several at once, page by page."""
    async with service.client(service.keys.gateway) as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        event, task = create("Toast", source=TAVE), create("Flowers", item_kind=ItemKind.TASK, source=ADA)
        late = update(event.item_id, {"title": "Ours"}, source=ADA, default_base=0)
        changes = [
            event,
            task,
            update(event.item_id, {"location": "Garden"}, source=ADA),
            late,
            update(event.item_id, {"notes": "long"}, source=TAVE),
            delete(task.item_id, source=ADA),
        ]
        for change in changes:
            await sync.apply_changes(wedding_id, [change], on_behalf=True)
        times = [entry.commit_time async for entry in sync.list_changes(wedding_id)]
        assert await log(sync, wedding_id, path="title") == [1, 2, 4]
        assert await log(sync, wedding_id, path="deleted_at") == [6]
        assert await log(sync, wedding_id, item_kind=item_pb2.ITEM_KIND_TASK) == [2]
        assert await log(sync, wedding_id, vendor="tave") == [1, 5]
        assert await log(sync, wedding_id, link_id=TAVE.link_id) == [1, 5]
        assert await log(sync, wedding_id, actor="ada") == [2, 3, 4, 6]
        assert await log(sync, wedding_id, outcomes=[change_pb2.OUTCOME_CONFLICTED]) == [4]
        assert await log(sync, wedding_id, change_id=late.change_id) == [4]
        assert await log(sync, wedding_id, change_id=new_id()) == []
        assert await log(sync, wedding_id, start_time=times[2], end_time=times[4]) == [3, 4]
        assert await log(sync, wedding_id, start_time=times[5]) == [6]
        assert await log(sync, wedding_id, end_time=times[0]) == []
        assert await log(sync, wedding_id, actor="ada", path="title", start_time=times[1]) == [2, 4]
        only = service_pb2.ChangeFilter(vendor="tave")
        found = sync.list_changes(wedding_id, item_id=event.item_id, after_sequence=1, only=only)
        assert [entry.sequence async for entry in found] == [5]


async def test_an_old_change_is_found_once_its_id_is_forgotten(
    service: InProcess, migrated_database: MigratedDatabase
) -> None:
    """Change ids are kept for a while only; the log still knows the change."""
    async with service.client() as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        changes = [create(f"Event {number}") for number in range(5)]
        await sync.apply_changes(wedding_id, changes)
        with psycopg.connect(migrated_database.admin_url) as admin:
            admin.execute("DELETE FROM sync.change_keys WHERE wedding_id = %s", [wedding_id])
        assert await log(sync, wedding_id, change_id=changes[3].change_id) == [4]


async def test_one_call_looks_through_so_much_and_no_more(service: InProcess) -> None:
    """Where little fits, a page may be empty although more follows, and going on finds it."""
    async with service.client() as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        made = create("Toast")
        await sync.apply_changes(wedding_id, [made])
        for _ in range(11):
            edits = [update(made.item_id, {"notes": new_id()}) for _ in range(500)]
            await sync.apply_changes(wedding_id, edits)
        await sync.apply_changes(wedding_id, [update(made.item_id, {"location": "Garden"})])
        assert await log(sync, wedding_id, path="location") == [5502]
    async with open_channel(service.target, api_key=service.keys.studio) as channel:
        stub = service_pb2_grpc.SyncServiceStub(channel)
        request = service_pb2.ListChangesRequest(
            wedding_id=wedding_id, filter=service_pb2.ChangeFilter(path="location")
        )
        page = await unary(stub.ListChanges, request, {})
        assert (len(page.changes), page.next_after_sequence) == (0, 5000)


async def test_pages_of_large_entries_are_shorter(service: InProcess) -> None:
    """A page is cut before it is too large for one message, and nothing of the log is missed."""
    async with service.client() as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        made = create("Toast")
        await sync.apply_changes(wedding_id, [made])
        for number in range(120):
            await sync.apply_changes(
                wedding_id, [update(made.item_id, {"notes": f"{number}" + "é" * 19_000})]
            )
        found = [entry.sequence async for entry in sync.list_changes(wedding_id, page_size=500)]
        assert found == list(range(1, 122))


async def test_provenance_is_complete(service: InProcess) -> None:
    """An entry tells value and value before, organization, actor, vendor, record, event and policy."""
    async with service.client(service.keys.gateway) as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        event = create("Toast", source=TAVE)
        decided = Source(organization_id="studio", actor="policy:p", policy="planner_first@3")
        await sync.apply_changes(
            wedding_id, [event, update(event.item_id, {"title": "Speech"}, source=decided)], on_behalf=True
        )
        by_vendor, by_policy = [entry async for entry in sync.list_changes(wedding_id)]
        source = by_vendor.source
        assert (source.organization_id, source.actor, source.vendor) == ("studio", "integration:1", "tave")
        assert (source.record_id, source.category) == ("event/1", "crm")
        assert (source.event_id, source.policy) == (TAVE.event_id, "")
        assert by_policy.source.policy == "planner_first@3"
        (field,) = by_policy.fields
        assert (field.previous.text, field.proposed.text) == ("Toast", "Speech")
        item = await sync.get_item(wedding_id, event.item_id, as_of=service_pb2.AsOf(sequence=1))
        assert [state.source.event_id for state in item.field_states] == [TAVE.event_id]
        item = await sync.get_item(wedding_id, event.item_id)
        assert [state.source.policy for state in item.field_states] == ["planner_first@3"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"path": "colour"}, "filter.path"),
        ({"path": "amount", "item_kind": item_pb2.ITEM_KIND_TASK}, "filter.path"),
        ({"item_kind": 99}, "filter.item_kind"),
        ({"outcomes": [0]}, "filter.outcomes"),
        ({"change_id": "1"}, "filter.change_id"),
        ({"start_time": Timestamp(seconds=2), "end_time": Timestamp(seconds=2)}, "filter.end_time"),
        ({"start_time": Timestamp(seconds=1 << 50)}, "filter.start_time"),
    ],
)
async def test_malformed_filters_are_refused(service: InProcess, asked: dict[str, Any], field: str) -> None:
    """A field that no kind has, an unknown kind or outcome, a bad id, a time that ends before it begins."""
    async with service.client() as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        only = service_pb2.ChangeFilter(**asked)
        assert await refused(anext(sync.list_changes(wedding_id, only=only))) == [field]


async def test_the_log_is_for_members_only(service: InProcess) -> None:
    """To other organizations there is no log, whatever they ask for."""
    async with service.client() as studio, service.client(service.keys.florist) as florist:
        secret = (await new_wedding(studio)).wedding_id
        made = create("One")
        await studio.apply_changes(secret, [made])
        for asked in ({"actor": "studio"}, {"change_id": made.change_id}, {"start_time": Timestamp()}):
            with pytest.raises(UnknownWedding):
                await log(florist, secret, **asked)
