"""What callers may ask of the sync service, and how it says no; owners run in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.integration.sync.conftest import InProcess, new_wedding, refused
from tests.unit.sync.builders import create, delete, update, vendor
from wedsync.api.common.v1 import item_pb2
from wedsync.api.sync.v1 import change_pb2, service_pb2, service_pb2_grpc, wedding_pb2
from wedsync.client import SyncClient, open_channel, wedding_message
from wedsync.client.calls import unary
from wedsync.client.sync import CALLER
from wedsync.convert.changes import moment
from wedsync.errors import AlreadyExists, InvalidRequest, NotFound, PermissionDenied, UnknownWedding
from wedsync.model.changes import Outcome
from wedsync.model.ids import new_id
from wedsync.model.items import ItemKind


@pytest.fixture
def service(in_process: InProcess) -> InProcess:
    """The service of these tests."""
    return in_process


async def test_a_wedding_is_created_once(service: InProcess) -> None:
    """Creating the same wedding again returns it; another one under its id is refused."""
    async with service.client() as sync:
        wedding = wedding_message("Ada & Grace", "2027-06-12", "Europe/Paris")
        first = await sync.create_wedding(wedding)
        assert await sync.create_wedding(wedding) == first == await sync.get_wedding(wedding.wedding_id)
        assert [(m.organization_id, m.role) for m in first.members] == [("studio", "planner")]
        assert not first.HasField("update_time")
        wedding.title = "Somebody else"
        with pytest.raises(AlreadyExists):
            await sync.create_wedding(wedding)


async def test_only_members_see_a_wedding(service: InProcess) -> None:
    """To others a wedding does not exist; a named member and our own services see it."""
    async with service.client() as studio, service.client(service.keys.florist) as florist:
        secret = (await new_wedding(studio)).wedding_id
        for call in (
            florist.get_wedding(secret),
            florist.apply_changes(secret, [create()]),
            florist.get_item(secret, new_id()),
        ):
            with pytest.raises(UnknownWedding):
                await call
        with pytest.raises(UnknownWedding):
            await anext(florist.watch_wedding(secret))
        member = wedding_pb2.Member(organization_id="florist", role="florist")
        shared = (await new_wedding(studio, members=[member])).wedding_id
        assert (await florist.apply_changes(shared, [create()]))[0].outcome is Outcome.APPLIED
        mine = [wedding.wedding_id async for wedding in florist.list_weddings()]
        assert shared in mine
        assert secret not in mine
    async with service.client(service.keys.gateway) as internal:
        assert (await internal.get_wedding(secret)).wedding_id == secret


async def test_unknown_weddings_and_items_are_said(service: InProcess) -> None:
    """An id of nothing is NOT_FOUND, for our own services too."""
    for key in (service.keys.studio, service.keys.gateway):
        async with service.client(key) as sync:
            with pytest.raises(UnknownWedding):
                await sync.apply_changes(new_id(), [create()])
            wedding = await new_wedding(sync)
            with pytest.raises(NotFound):
                await sync.get_item(wedding.wedding_id, new_id())


async def test_a_reader_may_not_write(service: InProcess) -> None:
    """A key without the scope is refused by name of the scope."""
    async with service.client(service.keys.reader) as sync:
        with pytest.raises(PermissionDenied) as error:
            await sync.apply_changes(new_id(), [create()])
        assert error.value.metadata == {"scope": "write"}


async def test_lists_are_paged(service: InProcess) -> None:
    """Weddings, items and log come page by page, each entry once, in their order."""
    async with service.client() as sync:
        ids = [(await new_wedding(sync)).wedding_id for _ in range(5)]
        listed = [wedding.wedding_id async for wedding in sync.list_weddings(page_size=2)]
        assert [wedding_id for wedding_id in listed if wedding_id in ids] == ids
        made = [create(f"Event {number}") for number in range(5)]
        await sync.apply_changes(ids[0], [*made, delete(made[0].item_id)])
        items = [item.item_id async for item in sync.list_items(ids[0], page_size=2)]
        assert items == sorted(change.item_id for change in made[1:])
        every = [item.deleted async for item in sync.list_items(ids[0], page_size=2, show_deleted=True)]
        assert sorted(every) == [False] * 4 + [True]
        log = [entry.sequence async for entry in sync.list_changes(ids[0], page_size=4)]
        assert log == [1, 2, 3, 4, 5, 6]
        one = [e.sequence async for e in sync.list_changes(ids[0], item_id=made[0].item_id, page_size=1)]
        assert one == [1, 6]
        assert (await sync.get_item(ids[0], made[0].item_id)).deleted
        assert (await sync.get_wedding(ids[0])).HasField("update_time")


async def test_malformed_weddings_are_refused_field_by_field(service: InProcess) -> None:
    """Everything that is wrong with a new wedding is named at once."""
    wedding = wedding_message("Ada", "2027-02-03", "Paris", wedding_id="x")
    wedding.title, wedding.date.day = " ", 30
    wedding.members.add(organization_id="a,b")
    wedding.members.add(organization_id="a,b", role="planner")
    wedding.members.extend([wedding_pb2.Member(organization_id=new_id(), role="guest") for _ in range(50)])
    async with service.client() as sync:
        assert set(await refused(sync.create_wedding(wedding))) == {
            "wedding.wedding_id",
            "wedding.title",
            "wedding.date",
            "wedding.time_zone",
            "wedding.members",
            "wedding.members[0].organization_id",
            "wedding.members[0].role",
            "wedding.members[1].organization_id",
        }


async def test_changes_of_a_vendor_come_from_our_services_only(service: InProcess) -> None:
    """A source in a change is refused from a customer's key and kept from an internal one."""
    change = create(source=vendor())
    async with service.client() as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        assert await refused(sync.apply_changes(wedding_id, [change])) == ["changes[0].source"]
    async with service.client(service.keys.gateway) as internal:
        await internal.apply_changes(wedding_id, [change])
        (entry,) = [entry async for entry in internal.list_changes(wedding_id)]
        assert (entry.source.link_id, entry.source.record_id) == ("link-1", "r1")


async def test_batches_that_are_empty_or_too_large_are_refused(service: InProcess) -> None:
    """A call carries 1 to 500 changes."""
    async with service.client() as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        assert await refused(sync.apply_changes(wedding_id, [])) == ["changes"]
        assert await refused(sync.apply_changes(wedding_id, [create()] * 501)) == ["changes"]


def _update(**but: Any) -> change_pb2.Change:
    content = item_pb2.ItemContent(timeline_event=item_pb2.TimelineEvent(title="One"))
    known = {
        "change_id": new_id(),
        "item_id": new_id(),
        "kind": change_pb2.CHANGE_KIND_UPDATE,
        "content": content,
    }
    return change_pb2.Change(**{**known, **but})


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        (lambda: _update(update_mask={"paths": ["nonsense"]}), "changes[0].update_mask.paths"),
        (_update, "changes[0].update_mask.paths"),
        (change_pb2.Change, "changes[0].kind"),
        (lambda: _update(update_mask={"paths": ["title"]}, item_id="X"), "changes[0].item_id"),
    ],
    ids=["bad mask", "no mask", "empty change", "bad id"],
)
async def test_malformed_changes_are_refused(
    service: InProcess, change: Callable[[], change_pb2.Change], fields: str
) -> None:
    """A bad mask, an empty change, a bad id: INVALID_REQUEST with the field's place."""
    async with open_channel(service.target, api_key=service.keys.studio) as channel:
        wedding_id = (await new_wedding(SyncClient(channel))).wedding_id
        stub = service_pb2_grpc.SyncServiceStub(channel)
        request = service_pb2.ApplyChangesRequest(wedding_id=wedding_id, changes=[change()])
        assert fields in await refused(unary(stub.ApplyChanges, request, {}))


async def test_values_are_refused_with_the_cure(service: InProcess) -> None:
    """A time the clocks skip, a turned text and an address that is none are named, each with its mend."""
    skipped = create(values={"title": "Toast", "starts_at": "2027-03-14T02:30:00[America/New_York]"})
    turned = create("pay\u202egnp.exe")
    nobody = replace(
        create(), item_kind=ItemKind.CONTACT, values={"name": "Ada", "email": "none", "phone": "ask Ada"}
    )
    async with service.client() as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        with pytest.raises(InvalidRequest) as error:
            await sync.apply_changes(wedding_id, [skipped, turned, nobody])
        assert [violation.field for violation in error.value.violations] == [
            "changes[0].content.timeline_event.starts_at",
            "changes[1].content.timeline_event.title",
            "changes[2].content.contact.email",
            "changes[2].content.contact.phone",
        ]
        assert error.value.violations[0].description.endswith("from 02:00 to 03:00; write 03:30")
    async with service.client(service.keys.gateway) as internal:
        told = replace(nobody, source=vendor())
        assert (await internal.apply_changes(wedding_id, [told]))[0].outcome is Outcome.APPLIED


async def test_malformed_reads_are_refused(service: InProcess) -> None:
    """Bad ids, sequences, page sizes and tokens are named."""
    async with service.client() as sync:
        wedding_id = (await new_wedding(sync)).wedding_id
        assert await refused(sync.get_wedding("1")) == ["wedding_id"]
        assert await refused(sync.get_item(wedding_id, "1")) == ["item_id"]
        assert await refused(anext(sync.list_weddings(page_size=-1))) == ["page_size"]
        assert await refused(anext(sync.list_changes(wedding_id, after_sequence=-1))) == ["after_sequence"]
        assert await refused(anext(sync.list_changes(wedding_id, item_id="1"))) == ["item_id"]
        assert await refused(anext(sync.watch_wedding(wedding_id, -1))) == ["after_sequence"]
    async with open_channel(service.target, api_key=service.keys.studio) as channel:
        stub = service_pb2_grpc.SyncServiceStub(channel)
        for token in ("?", "e30=", "WyJhIiwgImIiXQ=="):
            request = service_pb2.ListWeddingsRequest(page_token=token)
            assert await refused(unary(stub.ListWeddings, request, {})) == ["page_token"]


async def test_what_changes_nothing_is_no_update(service: InProcess) -> None:
    """A wedding's update time is its last logged change's, whatever was refused or repeated since."""
    async with service.client() as sync:
        wedding = await new_wedding(sync)
        made = create(source=CALLER)
        (result,) = await sync.apply_changes(wedding.wedding_id, [made])
        edits = [update(made.item_id, {"title": made.values["title"]}), update(new_id(), {"title": "x"})]
        nothing = await sync.apply_changes(wedding.wedding_id, edits)
        assert [each.outcome for each in nothing] == [Outcome.UNCHANGED, Outcome.REJECTED]
        after = await sync.get_wedding(wedding.wedding_id)
    assert (after.sequence, moment(after.update_time)) == (1, result.committed_at)
