"""The gateway's servicers: what they ask for, and what they answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.gateway.health_report import MAX_KEPT, HealthReport, Operation, Tally
from services.gateway.journey import ChangeStep, DeliveryStep, Steps, WebhookStep
from services.gateway.onward import Onward
from services.gateway.rpc.accounts import IntegrationRpc
from services.gateway.rpc.commits import MAX_COMMITS, CommitRpc
from services.gateway.rpc.deliveries import DeliveryRpc
from services.gateway.rpc.links import LinkRpc
from services.gateway.rpc.paging import page_start, token_after
from services.gateway.rpc.reports import MAX_SENT, HealthReports
from services.gateway.store.journeys import Place
from tests.support.gateway_fakes import MemoryDeliveries
from tests.support.gateway_memory import Memory
from tests.support.gateway_vendor import a_link
from tests.support.gateway_world import World
from tests.unit.gateway.http.front import Front
from wedsync import errors
from wedsync.api.gateway.v1 import commit_pb2, delivery_pb2, integration_pb2, link_pb2
from wedsync.client import HealthClient
from wedsync.clock import FakeClock
from wedsync.convert.items import item_to_message
from wedsync.model.changes import ChangeKind
from wedsync.model.ids import new_id
from wedsync.runtime.principal import Principal, Scope, acting_as
from wedsync.runtime.requests import page_token

NOW = datetime(2027, 1, 1, tzinfo=UTC)
WEDDING = "00000000-0000-4000-8000-0000000000aa"
NO_CONTEXT: Any = None


@pytest.fixture(autouse=True)
def caller() -> Iterator[None]:
    """The studio, with a key that may read and write."""
    scopes = frozenset({Scope.READ, Scope.WRITE})
    with acting_as(
        Principal(organization_id="studio", role="studio", actor="ada", scopes=scopes, key_id="k")
    ):
        yield


def integration_rpc(front: Front) -> IntegrationRpc:
    """Return the servicer of accounts."""
    return IntegrationRpc(
        accounts=front.accounts, upkeep=front.upkeep, links=front.links, vendors=front.ports.vendors
    )


def link_rpc(front: Front) -> LinkRpc:
    """Return the servicer of links."""
    return LinkRpc(
        accounts=front.accounts,
        upkeep=front.upkeep,
        planner=front.planner,
        links=front.links,
        clock=FakeClock(),
    )


def delivery_rpc(front: Front) -> DeliveryRpc:
    """Return the servicer of what came in and went out."""
    return DeliveryRpc(store=front.journeys, latency=front.latency, replays=front.replays)


async def test_accounts_are_connected_listed_and_found() -> None:
    """Pages hold what was asked for, and the last has no token."""
    front = Front()
    rpc = integration_rpc(front)
    [vendor] = (await rpc.ListVendors(integration_pb2.ListVendorsRequest(), NO_CONTEXT)).vendors
    assert (vendor.vendor, list(vendor.credential_names)) == ("desk", ["key"])
    wanted = integration_pb2.ConnectVendorRequest(
        request_id=new_id(), vendor="desk", credentials={"key": "k"}
    )
    made = (await rpc.ConnectVendor(wanted, NO_CONTEXT)).integration
    found = await rpc.GetIntegration(
        integration_pb2.GetIntegrationRequest(integration_id=made.integration_id), NO_CONTEXT
    )
    assert found == made
    first = await rpc.ListIntegrations(integration_pb2.ListIntegrationsRequest(page_size=1), NO_CONTEXT)
    last = await rpc.ListIntegrations(
        integration_pb2.ListIntegrationsRequest(page_size=1, page_token=first.next_page_token), NO_CONTEXT
    )
    assert (len(first.integrations), len(last.integrations), last.next_page_token) == (1, 1, "")
    with pytest.raises(errors.NotFound):
        await rpc.GetIntegration(integration_pb2.GetIntegrationRequest(integration_id=new_id()), NO_CONTEXT)


async def test_links_are_made_paused_and_resumed() -> None:
    """Each answer shows the link's state and why."""
    front = Front()
    rpc = link_rpc(front)
    made = await rpc.LinkWedding(
        link_pb2.LinkWeddingRequest(
            request_id=new_id(),
            wedding_id=WEDDING,
            integration_id=front.link.integration_id,
            scope={"calendar": "c"},
        ),
        NO_CONTEXT,
    )
    paused = await rpc.PauseLink(link_pb2.PauseLinkRequest(link_id=made.link_id), NO_CONTEXT)
    assert (paused.state, paused.reason) == (link_pb2.LINK_STATE_PAUSED, "paused by request")
    resumed = await rpc.ResumeLink(link_pb2.ResumeLinkRequest(link_id=made.link_id), NO_CONTEXT)
    assert resumed.state == link_pb2.LINK_STATE_ACTIVE
    await rpc.SyncNow(link_pb2.SyncNowRequest(link_id=made.link_id), NO_CONTEXT)
    listed = await rpc.ListLinks(link_pb2.ListLinksRequest(wedding_id=WEDDING), NO_CONTEXT)
    assert len(listed.links) == 2


async def test_commits_are_taken_over_from_our_own_services_only() -> None:
    """Nobody else may; none and too many are refused; what was taken over wakes the deliveries."""
    memory = Memory()
    store, woken, link = MemoryDeliveries(memory), list[int](), a_link()
    memory.links[link.link_id] = link
    onward = Onward(claim=store.claim, wake=lambda: woken.append(1), idle_seconds=1.0)
    rpc = CommitRpc(store=store, onward=onward)
    world = World()
    world.edit(ChangeKind.CREATE, new_id(), {"title": "Cake"})
    [entry] = world.canon.outbox
    commit = commit_pb2.Commit(
        wedding_id=WEDDING, sequence=1, change_id=new_id(), item=item_to_message(WEDDING, entry.item)
    )
    with pytest.raises(errors.PermissionDenied):
        await rpc.AcceptCommits(commit_pb2.AcceptCommitsRequest(commits=[commit]), NO_CONTEXT)
    ours = Principal(
        organization_id="", role="", actor="sync", scopes=frozenset({Scope.INTERNAL}), key_id="k"
    )
    with acting_as(ours):
        for commits in ([], [commit] * (MAX_COMMITS + 1)):
            with pytest.raises(errors.InvalidRequest):
                await rpc.AcceptCommits(commit_pb2.AcceptCommitsRequest(commits=commits), NO_CONTEXT)
        assert (store.commits, woken) == ([], [])
        await rpc.AcceptCommits(commit_pb2.AcceptCommitsRequest(commits=[commit]), NO_CONTEXT)
    assert [taken.item.value("title") for taken in store.commits] == ["Cake"]
    assert woken == [1]


def row(number: int, **more: Any) -> dict[str, Any]:
    """Return a row of the log."""
    return {
        "id": new_id(),
        "vendor": "desk",
        "integration_id": new_id(),
        "state": "processed",
        "reason": "",
        "accepted_at": NOW + timedelta(seconds=number),
        "created_at": NOW + timedelta(seconds=number),
        "change_ids": [new_id()],
        "link_id": new_id(),
        "item_id": new_id(),
        "change_id": None,
        "attempts": 1,
        "event_name": "event.changed",
        "repeats": 2,
        "confirmed_at": NOW,
        "cause": "",
        "parent_id": None,
        "record_id": None,
        **more,
    }


async def test_the_log_is_paged() -> None:
    """A full page names the place where the next begins."""
    front = Front()
    front.journeys.rows = [row(2), row(1, confirmed_at=None)]
    rpc = delivery_rpc(front)
    hooks = await rpc.ListWebhooks(delivery_pb2.ListWebhooksRequest(page_size=1), NO_CONTEXT)
    assert [(hook.event, hook.repeats) for hook in hooks.webhooks] == [("event.changed", 2)]
    await rpc.ListWebhooks(delivery_pb2.ListWebhooksRequest(page_token=hooks.next_page_token), NO_CONTEXT)
    assert front.journeys.asked["after"].id == front.journeys.rows[0]["id"]
    deliveries = await rpc.ListDeliveries(delivery_pb2.ListDeliveriesRequest(wedding_id=WEDDING), NO_CONTEXT)
    assert [d.HasField("confirm_time") for d in deliveries.deliveries] == [True, False]
    assert deliveries.next_page_token == ""


def steps(*, webhook: bool = True, state: str = "applied", due: str = "delivered") -> Steps:
    """Return a recorded journey."""
    trace = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
    hook = WebhookStep(
        id="w",
        vendor="desk",
        state="processed",
        reason="ok",
        detected_at=NOW,
        accepted_at=NOW,
        translated_at=NOW,
        trace_parent=trace,
    )
    changes = [
        ChangeStep(
            id="c",
            vendor="desk",
            webhook_id=None,
            state=found,
            reason=reason,
            detected_at=NOW,
            created_at=NOW,
            committed_at=None,
            sequence=sequence,
            resolved_at=None,
            trace_parent=trace,
        )
        for found, reason, sequence in ((state, "", 4), (state, "busy", None), ("applied", "", None))
    ]
    delivery = DeliveryStep(
        change_id="c",
        vendor="diary",
        state=due,
        reason="",
        attempts=2,
        sequence=4,
        created_at=NOW,
        accepted_at=NOW,
        started_at=NOW,
        called_at=NOW,
        confirmed_at=None,
        closed_at=NOW,
        trace_parent="",
    )
    return Steps(webhook=hook if webhook else None, changes=changes if state else [], deliveries=[delivery])


@pytest.mark.parametrize(
    ("found", "complete", "first"),
    [
        (steps(), True, "accepted"),
        (steps(webhook=False), True, "detected"),
        (steps(state="pending"), False, "accepted"),
        (steps(due="due"), False, "accepted"),
        (steps(webhook=False, state=""), True, "committed"),
    ],
)
async def test_a_journey_is_told_in_order_and_says_whether_it_is_over(
    found: Steps, complete: bool, first: str
) -> None:
    """Whatever began it, its stages are told from the first, and it is complete when nothing waits."""
    front = Front()
    front.journeys.found = found
    journey = await delivery_rpc(front).GetJourney(
        delivery_pb2.GetJourneyRequest(journey_id=new_id()), NO_CONTEXT
    )
    assert (journey.complete, journey.stages[0].name) == (complete, first)
    assert journey.stages[-1].detail == "2 tries"
    assert journey.summary.endswith(".")
    assert bool(journey.trace_id) == bool(found.webhook or found.changes)


async def test_latency_is_summed_up_over_a_window() -> None:
    """An hour unless asked otherwise; a window that is too long says what is allowed."""
    front = Front()
    rpc = delivery_rpc(front)
    answer = await rpc.GetLatency(delivery_pb2.GetLatencyRequest(), NO_CONTEXT)
    [stage] = answer.stages
    assert (stage.vendor, stage.stage, stage.count, stage.p99_milliseconds) == ("desk", "call", 4, 3.0)
    assert front.latency.asked == {"wedding_id": None, "seconds": 3600}
    request = delivery_pb2.GetLatencyRequest(wedding_id=WEDDING, window_seconds=60)
    await rpc.GetLatency(request, NO_CONTEXT)
    assert front.latency.asked == {"wedding_id": WEDDING, "seconds": 60}
    for seconds in (-1, 700_000):
        with pytest.raises(errors.InvalidRequest) as refused:
            await rpc.GetLatency(delivery_pb2.GetLatencyRequest(window_seconds=seconds), NO_CONTEXT)
        assert [v.field for v in refused.value.violations] == ["window_seconds"]


async def test_an_unknown_journey_is_not_found() -> None:
    """There is nothing to tell."""
    front = Front()
    rpc = delivery_rpc(front)
    with pytest.raises(errors.NotFound):
        await rpc.GetJourney(delivery_pb2.GetJourneyRequest(journey_id=new_id()), NO_CONTEXT)


@pytest.mark.parametrize(
    "bad",
    [
        "x",
        "é",
        "AAAA",
        page_token(["noon", WEDDING]),
        token_after(NOW, "x"),
        token_after(NOW.replace(tzinfo=None), WEDDING),
    ],
)
def test_a_foreign_page_token_is_refused(bad: str) -> None:
    """A token is ours or an error; an empty one is the first page."""
    assert page_start("") is None
    assert page_start(token_after(NOW, WEDDING)) == Place(at=NOW, id=WEDDING)
    with pytest.raises(errors.InvalidRequest):
        page_start(bad)


class FakeHealth(HealthClient):
    """The health service."""

    def __init__(self) -> None:
        self.parts: list[int] = []
        self.away = False

    async def record_observations(self, observations: Any, **options: Any) -> None:
        """Take observations."""
        if self.away:
            raise errors.Unavailable
        self.parts.append(len(observations))


async def test_tries_are_counted_and_reported() -> None:
    """Sums per account and operation; nothing is lost while the health service is away, but it is bounded."""
    client = FakeHealth()
    report = HealthReport(reports=HealthReports(client), clock=FakeClock())
    await report.flush()
    assert client.parts == []
    client.away = True
    for number in range(MAX_KEPT + 1):
        for error in (None, ValueError("personal")):
            report.saw(
                organization_id="studio",
                integration_id=str(number),
                vendor="desk",
                operation=Operation.READ,
                error=error,
            )
    await report.flush()
    kept: list[Tally] = report._unsent
    assert (len(kept), kept[0].successes, kept[0].failures, kept[0].last_error) == (
        MAX_KEPT,
        1,
        1,
        "ValueError",
    )
    client.away = False
    await report.flush()
    assert client.parts == [MAX_SENT] * (MAX_KEPT // MAX_SENT)
    assert report._unsent == []
