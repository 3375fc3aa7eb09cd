"""What people ask about edits that got stuck, and about accounts and links, as the contract has it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from services.gateway.store.journeys import Wanted
from services.gateway.store.stuck import Dead
from services.gateway.vendors.port import VendorAuthFailed, VendorGarbage, VendorRejected
from tests.support.gateway_fakes import received
from tests.support.gateway_store import a_cause, an_item
from tests.support.gateway_world import World, finish
from tests.unit.gateway.http.front import Front
from tests.unit.gateway.rpc.test_gateway_rpc import (
    NO_CONTEXT,
    WEDDING,
    delivery_rpc,
    integration_rpc,
    link_rpc,
    row,
)
from wedsync import errors
from wedsync.api.gateway.v1 import delivery_pb2, integration_pb2, link_pb2
from wedsync.convert.changes import timestamp
from wedsync.convert.items import value_from_message
from wedsync.model.changes import ChangeKind
from wedsync.model.ids import new_id
from wedsync.runtime.principal import Principal, Scope, acting_as

NOON = datetime(2027, 6, 12, 12, tzinfo=UTC)
UPDATE = integration_pb2.UpdateIntegrationRequest


@pytest.fixture(autouse=True)
def caller() -> Iterator[None]:
    """The studio, with a key that may read and write."""
    scopes = frozenset({Scope.READ, Scope.WRITE})
    with acting_as(
        Principal(organization_id="studio", role="studio", actor="ada", scopes=scopes, key_id="k")
    ):
        yield


async def accepted(front: Front, state: str, *records: str, reason: str = "") -> str:
    """Have a webhook accepted and finished; return its id."""
    answer = await front.hook({"event": "event.changed", "id": new_id(), "records": list(records)})
    webhook_id = str(answer.json["webhook_id"])
    [arrival] = [w for w in front.memory.webhooks if w.webhook_id == webhook_id]
    await front.inbound.finish(received(arrival), state=state, reason=reason)
    return webhook_id


async def apply(front: Front, record: str) -> None:
    """Have the wedding know a record as it is now."""
    await front.inspector.look(front.link, record, a_cause())
    [row] = front.memory.activities
    item, values = row.activity.item_id, row.activity.change.values
    front.memory.projection[item] = (1, an_item(item, **dict(values)))  # type: ignore[arg-type]
    front.memory.activities.clear()


async def replay(front: Front, **wanted: Any) -> delivery_pb2.ReplayWebhooksResponse:
    """Ask for a replay."""
    request = delivery_pb2.ReplayWebhooksRequest(**{"request_id": new_id(), **wanted})
    return await delivery_rpc(front).ReplayWebhooks(request, NO_CONTEXT)


async def test_webhooks_are_listed_as_asked() -> None:
    """State, vendor, reason, cause and times reach the store."""
    front = Front()
    front.journeys.rows = [row(1, cause="garbage", parent_id=WEDDING, record_id="r1", link_id=WEDDING)]
    request = delivery_pb2.ListWebhooksRequest(
        state="parked",
        vendor="desk",
        reason="title",
        cause="garbage",
        start_time=timestamp(NOON),
        end_time=timestamp(NOON + timedelta(days=1)),
    )
    [found] = (await delivery_rpc(front).ListWebhooks(request, NO_CONTEXT)).webhooks
    assert (found.cause, found.parent_id, found.record_id) == ("garbage", WEDDING, "r1")
    assert front.journeys.asked["wanted"] == Wanted(
        state="parked",
        vendor="desk",
        reason="title",
        cause="garbage",
        since=NOON,
        until=NOON + timedelta(days=1),
    )


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({}, "webhook_ids"),
        ({"webhook_ids": ["x"]}, "webhook_ids"),
        ({"webhook_ids": [WEDDING] * 51}, "webhook_ids"),
        ({"vendor": "desk", "request_id": ""}, "request_id"),
    ],
)
async def test_a_replay_says_what_it_means(wanted: dict[str, Any], field: str) -> None:
    """Everything there is, too many, and a call that cannot be repeated safely are refused."""
    with pytest.raises(errors.InvalidRequest) as refused:
        await replay(Front(), **wanted)
    assert field in {violation.field for violation in refused.value.violations}


async def test_a_replay_is_a_webhook_of_its_own() -> None:
    """What is parked is read again in a new trace; the same request does not replay it twice."""
    front, request = Front(), new_id()
    first = await accepted(front, "parked", "r1", reason="no title")
    await accepted(front, "processed", "r1")
    [replayed] = (await replay(front, vendor="desk", request_id=request)).webhooks
    assert replayed.webhook_id == first
    [again] = [w for w in front.memory.webhooks if w.webhook_id == replayed.replay_id]
    [before] = [w for w in front.memory.webhooks if w.webhook_id == first]
    assert (again.parent_id, again.body) == (first, before.body)
    assert again.trace_parent.split("-")[1] != before.trace_parent.split("-")[1]
    assert front.woken == ["translate"]
    [same] = (await replay(front, webhook_ids=[first], request_id=request)).webhooks
    assert same.replay_id == replayed.replay_id
    assert list((await replay(front, vendor="desk")).webhooks) == []


async def test_a_replay_is_paged() -> None:
    """A bounded number at once, newest first; the token leads to the rest."""
    front = Front()
    made = [await accepted(front, "parked") for _ in range(3)]
    page = await replay(front, state="parked", page_size=2, dry_run=True, request_id="")
    assert [one.webhook_id for one in page.webhooks] == made[:0:-1]
    await replay(front, state="parked", page_token=page.next_page_token)
    assert front.stuck.asked["after"].id == made[1]


async def test_a_dry_run_says_what_would_change_and_changes_nothing() -> None:
    """Per webhook and record the fields with the present and the proposed value, or why there are none."""
    front = Front()
    known, new = front.desk.put(title="Cake"), front.desk.put(title="Vows")
    await apply(front, known)
    front.desk.put(known, title="Wedding cake")
    front.desk.foreign = {"elsewhere"}
    front.desk.poison = {"bad": VendorGarbage("no start")}
    hook = await accepted(front, "processed", known, new, "never", "elsewhere", "bad")
    shadows = dict(front.memory.shadows)
    [one] = (await replay(front, webhook_ids=[hook], dry_run=True, request_id="")).webhooks
    edited, born, never, elsewhere, bad = one.records
    [field] = [f for f in edited.fields if f.path == "title"]
    assert (edited.change, value_from_message(field.present), value_from_message(field.proposed)) == (
        "update",
        "Cake",
        "Wedding cake",
    )
    assert (born.change, [value_from_message(f.present) for f in born.fields]) == ("create", [None])
    assert (never.change, never.note) == ("", "the vendor has no such record, and we know of none")
    assert "linked" in elsewhere.note
    assert bad.note == "no start"
    assert one.replay_id == ""
    assert (front.memory.shadows, front.memory.activities, front.woken) == (shadows, [], [])


async def test_replaying_what_was_applied_shows_no_change() -> None:
    """The record shows what is known already; a record set apart is looked at by itself."""
    front = Front()
    record = front.desk.put(title="Cake")
    await apply(front, record)
    hook = await accepted(front, "processed", record)
    [one] = (await replay(front, webhook_ids=[hook], dry_run=True)).webhooks
    assert [(r.change, r.note) for r in one.records] == [("", "it shows what is known already")]
    del front.memory.links[front.link.link_id]
    [one] = (await replay(front, webhook_ids=[hook], dry_run=True)).webhooks
    assert (list(one.records), one.note) == ([], "no active link is concerned")


async def test_a_dry_run_tells_what_cannot_be_read_and_what_people_decided() -> None:
    """An event that makes no sense says so; a decision is named and not taken."""
    front = Front()
    hook = await accepted(front, "parked")
    [arrival] = front.memory.webhooks
    for body, note in (
        (b"{", "it cannot be handled (JSONDecodeError)"),
        (
            orjson.dumps(
                {
                    "records": [],
                    "decisions": [{"conflict_id": "c", "choice": "current", "actor": "U1"}],
                }
            ),
            "it holds a decision about a conflict",
        ),
    ):
        object.__setattr__(arrival, "body", body)
        [one] = (await replay(front, webhook_ids=[hook], dry_run=True)).webhooks
        assert one.note == note


async def test_parked_deliveries_are_retried_page_by_page() -> None:
    """They are due again, each in a trace of its own; a request that names nothing is refused."""
    front = Front()
    rpc = delivery_rpc(front)
    front.stuck.dead_rows = [row(n, state="parked", reason="401", trace_parent="") for n in (3, 2, 1)]
    request = delivery_pb2.RetryDeliveriesRequest(link_id=WEDDING, cause="auth", page_size=2)
    answer = await rpc.RetryDeliveries(request, NO_CONTEXT)
    assert [(d.state, d.attempts, d.reason) for d in answer.deliveries] == [("due", 0, "401")] * 2
    assert front.stuck.asked["dead"] == Dead(ids=[], link_id=WEDDING, cause="auth")
    assert len({trace for _, trace in front.stuck.retried}) == 2
    assert front.woken == ["deliver"]
    request.page_token = answer.next_page_token
    await rpc.RetryDeliveries(request, NO_CONTEXT)
    assert front.stuck.asked["after"].id == answer.deliveries[-1].delivery_id
    for wrong in ({}, {"delivery_ids": ["x"]}, {"link_id": "x"}):
        with pytest.raises(errors.InvalidRequest):
            await rpc.RetryDeliveries(delivery_pb2.RetryDeliveriesRequest(**wrong), NO_CONTEXT)


async def test_new_credentials_take_the_place_of_the_old_ones() -> None:
    """What is not given stays, and the next call is made with the new ones."""
    front = Front()
    rpc, integration_id = integration_rpc(front), front.link.integration_id
    await front.ports.open(front.link)
    updated = await rpc.UpdateIntegration(
        UPDATE(integration_id=integration_id, credentials={"key": "new"}), NO_CONTEXT
    )
    assert updated.base_url == "https://desk.invalid"
    _, account = front.memory.integrations[integration_id]
    assert account.credentials == {"key": "new"}
    for wrong in (
        UPDATE(integration_id=integration_id),
        UPDATE(integration_id=integration_id, credentials={"webhook_secret": "s"}),
        UPDATE(integration_id=integration_id, credentials={"password": "p"}),
        UPDATE(integration_id=integration_id, base_url="nonsense"),
    ):
        with pytest.raises(errors.InvalidRequest):
            await rpc.UpdateIntegration(wrong, NO_CONTEXT)


async def test_an_account_is_tried() -> None:
    """Each link by itself, or a scope; with nothing to try it with, the caller is told what to give."""
    front = Front()
    rpc, integration_id = integration_rpc(front), front.link.integration_id
    request = integration_pb2.TestIntegrationRequest(integration_id=integration_id)
    front.desk.failures = [VendorAuthFailed("401")]
    [test] = (await rpc.TestIntegration(request, NO_CONTEXT)).tests
    assert (test.link_id, test.works, test.problem) == (front.link.link_id, False, "401")
    scoped = integration_pb2.TestIntegrationRequest(integration_id=integration_id, scope={"calendar": "c"})
    [test] = (await rpc.TestIntegration(scoped, NO_CONTEXT)).tests
    assert (test.link_id, test.works) == ("", True)
    del front.memory.links[front.link.link_id]
    with pytest.raises(errors.FailedPrecondition):
        await rpc.TestIntegration(request, NO_CONTEXT)


async def test_a_disconnected_account_is_kept_and_of_no_more_use() -> None:
    """Its links end and stay ended; nothing more can be done with it, and doing it again changes nothing."""
    front = Front()
    rpc, links, integration_id = integration_rpc(front), link_rpc(front), front.link.integration_id
    request = integration_pb2.DisconnectVendorRequest(integration_id=integration_id)
    first = await rpc.DisconnectVendor(request, NO_CONTEXT)
    assert first.HasField("disconnect_time")
    assert await rpc.DisconnectVendor(request, NO_CONTEXT) == first
    listing = link_pb2.ListLinksRequest(wedding_id=WEDDING)
    assert list((await links.ListLinks(listing, NO_CONTEXT)).links) == []
    listing.show_ended = True
    [link] = (await links.ListLinks(listing, NO_CONTEXT)).links
    assert (link.state, link.reason) == (link_pb2.LINK_STATE_ENDED, "the vendor was disconnected")
    for refused in (
        links.ResumeLink(link_pb2.ResumeLinkRequest(link_id=link.link_id), NO_CONTEXT),
        rpc.UpdateIntegration(
            UPDATE(integration_id=integration_id, base_url="https://x.invalid"), NO_CONTEXT
        ),
        front.ports.open(front.link),
    ):
        with pytest.raises((errors.FailedPrecondition, VendorRejected)):
            await refused
    with pytest.raises(errors.NotFound):
        await rpc.DisconnectVendor(
            integration_pb2.DisconnectVendorRequest(integration_id=new_id()), NO_CONTEXT
        )
    assert front.desk.writes == []


async def test_unlinking_ends_one_link_and_deletes_nothing() -> None:
    """Doing it again changes nothing."""
    front = Front()
    front.desk.put(title="Cake")
    request = link_pb2.UnlinkWeddingRequest(link_id=front.link.link_id)
    for _ in range(2):
        ended = await link_rpc(front).UnlinkWedding(request, NO_CONTEXT)
    assert (ended.state, ended.reason) == (link_pb2.LINK_STATE_ENDED, "unlinked by request")
    assert (front.desk.writes, len(front.desk.records)) == ([], 1)


async def test_a_plan_is_told_with_both_values() -> None:
    """Matches with each field that differs and where it would go; doubts, and what either side would get."""
    front, world = Front(), World()
    for title, start in (("Vows", "12"), ("Cake", "20"), ("Toast", "22")):
        values: dict[str, Any] = {"title": title, "starts_at": f"2027-06-12T{start}:00:00[Europe/Paris]"}
        world.edit(ChangeKind.CREATE, new_id(), values)
    world.hand_over()
    front.memory.projection = world.memory.projection
    front.desk.put(title="Vows", starts_at="2027-06-12T12:00:00[Europe/Paris]", location="Garden")
    front.desk.put(title="toast")
    front.desk.put(title="Fireworks")
    plan = await link_rpc(front).PlanLink(
        link_pb2.PlanLinkRequest(
            wedding_id=WEDDING, integration_id=front.link.integration_id, scope={"calendar": "c"}
        ),
        NO_CONTEXT,
    )
    [match] = plan.matches
    [field] = match.fields
    assert (match.key, field.diff.path, field.flow) == (
        "title, starts_at",
        "location",
        link_pb2.FLOW_TO_WEDDING,
    )
    assert value_from_message(field.diff.proposed) == "Garden"
    assert [(doubt.label, doubt.reason) for doubt in plan.review] == [
        ("toast", "alike in title, but not certain")
    ]
    assert [one.label for one in plan.create_in_wedding] == ["Fireworks"]
    assert [one.label.split(",")[0] for one in plan.create_at_vendor] == ["Cake"]


@pytest.mark.parametrize(
    "matches",
    [
        [link_pb2.Match(record_id="r1", item_id="x")],
        [link_pb2.Match(record_id="", item_id=WEDDING)],
        [link_pb2.Match(record_id="r1", item_id=WEDDING), link_pb2.Match(record_id="r1", item_id=new_id())],
    ],
)
async def test_matches_are_pairs(matches: list[link_pb2.Match]) -> None:
    """Each names one record and one item, and none twice."""
    front = Front()
    request = link_pb2.LinkWeddingRequest(
        request_id=new_id(),
        wedding_id=WEDDING,
        integration_id=front.link.integration_id,
        scope={"calendar": "c"},
        matches=matches,
    )
    with pytest.raises(errors.InvalidRequest):
        await link_rpc(front).LinkWedding(request, NO_CONTEXT)


def test_an_adapter_is_built_anew_for_new_credentials() -> None:
    """One that is kept ready is used as long as the account is the same, on every replica."""
    world = World()
    link = world.links[0]
    finish(world.ports.open(link))
    finish(world.ports.open(link))
    assert len(world.ports.opened) == 1
    object.__setattr__(link, "account_version", 2)
    finish(world.ports.open(link))
    assert len(world.ports.opened) == 2
