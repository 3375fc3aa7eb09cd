"""What every client does: deadline, metadata, errors restored, pages joined."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.unit.client.channels import FakeChannel, as_rpc_error
from wedsync.api.conflicts.v1 import service_pb2 as conflicts_pb2
from wedsync.api.gateway.v1 import commit_pb2, delivery_pb2, integration_pb2, link_pb2
from wedsync.api.health.v1 import service_pb2 as health_pb2
from wedsync.api.sync.v1 import service_pb2, wedding_pb2
from wedsync.client import CommitsClient, ConflictsClient, GatewayClient, HealthClient, SyncClient
from wedsync.client.calls import DEFAULT_TIMEOUT
from wedsync.errors import Overloaded
from wedsync.model.ids import is_id

Ask = Callable[[FakeChannel], Any]

_TWO_PAGES: list[tuple[Ask, Any, Any]] = [
    (
        lambda c: SyncClient(c.grpc).list_weddings(page_size=1),
        service_pb2.ListWeddingsResponse(weddings=[wedding_pb2.Wedding()], next_page_token="t"),
        service_pb2.ListWeddingsResponse(weddings=[wedding_pb2.Wedding()]),
    ),
    (
        lambda c: SyncClient(c.grpc).list_items("w", show_deleted=True),
        service_pb2.ListItemsResponse(items=[{}], next_page_token="t"),  # type: ignore[list-item]
        service_pb2.ListItemsResponse(items=[{}]),  # type: ignore[list-item]
    ),
    (
        lambda c: ConflictsClient(c.grpc).list_conflicts(wedding_id="w"),
        conflicts_pb2.ListConflictsResponse(conflicts=[conflicts_pb2.Conflict()], next_page_token="t"),
        conflicts_pb2.ListConflictsResponse(conflicts=[conflicts_pb2.Conflict()]),
    ),
    (
        lambda c: HealthClient(c.grpc).list_integration_health(),
        health_pb2.ListIntegrationHealthResponse(
            integrations=[health_pb2.IntegrationHealth()], next_page_token="t"
        ),
        health_pb2.ListIntegrationHealthResponse(integrations=[health_pb2.IntegrationHealth()]),
    ),
    (
        lambda c: GatewayClient(c.grpc).list_integrations(),
        integration_pb2.ListIntegrationsResponse(
            integrations=[integration_pb2.Integration()], next_page_token="t"
        ),
        integration_pb2.ListIntegrationsResponse(integrations=[integration_pb2.Integration()]),
    ),
    (
        lambda c: GatewayClient(c.grpc).list_webhooks(state="parked", vendor="tave"),
        delivery_pb2.ListWebhooksResponse(webhooks=[delivery_pb2.Webhook()], next_page_token="t"),
        delivery_pb2.ListWebhooksResponse(webhooks=[delivery_pb2.Webhook()]),
    ),
    (
        lambda c: GatewayClient(c.grpc).list_deliveries("w", state="due"),
        delivery_pb2.ListDeliveriesResponse(deliveries=[delivery_pb2.Delivery()], next_page_token="t"),
        delivery_pb2.ListDeliveriesResponse(deliveries=[delivery_pb2.Delivery()]),
    ),
]


@pytest.mark.parametrize(("ask", "first", "last"), _TWO_PAGES)
async def test_lists_go_through_all_pages(ask: Ask, first: Any, last: Any) -> None:
    """A list yields the entries of every page, asking for each with the token of the one before."""
    channel = FakeChannel.answering(first, last)
    assert len([entry async for entry in ask(channel)]) == 2
    assert [call.request.page_token for call in channel.calls] == ["", "t"]
    assert [call.timeout for call in channel.calls] == [DEFAULT_TIMEOUT] * 2


async def test_the_log_is_read_by_sequence() -> None:
    """Pages of changes go on after the sequence that the page before names."""
    page = service_pb2.ListChangesResponse
    channel = FakeChannel.answering(page(changes=[{}], next_after_sequence=5), page(changes=[{}]))  # type: ignore[list-item]
    changes = [c async for c in SyncClient(channel.grpc).list_changes("w", after_sequence=2, item_id="i")]
    assert len(changes) == 2
    assert [call.request.after_sequence for call in channel.calls] == [2, 5]


_CALLS: list[tuple[str, Callable[..., Awaitable[Any]], Any, dict[str, Any]]] = [
    (
        "GetWedding",
        lambda c, **o: SyncClient(c).get_wedding("w", **o),
        wedding_pb2.Wedding(),
        {"wedding_id": "w"},
    ),
    (
        "GetItem",
        lambda c, **o: SyncClient(c).get_item("w", "i", **o),
        service_pb2.ListItemsResponse(),
        {"wedding_id": "w", "item_id": "i"},
    ),
    (
        "AcceptCommits",
        lambda c, **o: CommitsClient(c).accept_commits([commit_pb2.Commit(sequence=3)], **o),
        commit_pb2.AcceptCommitsResponse(),
        {"commits": [commit_pb2.Commit(sequence=3)]},
    ),
    (
        "Adjudicate",
        lambda c, **o: ConflictsClient(c).adjudicate([conflicts_pb2.Collision(sequence=3)], **o),
        conflicts_pb2.AdjudicateResponse(),
        {"collisions": [conflicts_pb2.Collision(sequence=3)]},
    ),
    (
        "GetConflict",
        lambda c, **o: ConflictsClient(c).get_conflict("c", **o),
        conflicts_pb2.Conflict(),
        {"conflict_id": "c"},
    ),
    (
        "RecordObservations",
        lambda c, **o: HealthClient(c).record_observations([health_pb2.Observation(successes=1)], **o),
        health_pb2.RecordObservationsResponse(),
        {"observations": [health_pb2.Observation(successes=1)]},
    ),
    (
        "GetIntegrationHealth",
        lambda c, **o: HealthClient(c).get_integration_health("i", **o),
        health_pb2.IntegrationHealth(),
        {"integration_id": "i"},
    ),
    (
        "ListVendors",
        lambda c, **o: GatewayClient(c).list_vendors(**o),
        integration_pb2.ListVendorsResponse(),
        {},
    ),
    (
        "GetIntegration",
        lambda c, **o: GatewayClient(c).get_integration("i", **o),
        integration_pb2.Integration(),
        {"integration_id": "i"},
    ),
    (
        "ListLinks",
        lambda c, **o: GatewayClient(c).list_links("w", **o),
        link_pb2.ListLinksResponse(),
        {"wedding_id": "w"},
    ),
    ("PauseLink", lambda c, **o: GatewayClient(c).pause_link("l", **o), link_pb2.Link(), {"link_id": "l"}),
    ("ResumeLink", lambda c, **o: GatewayClient(c).resume_link("l", **o), link_pb2.Link(), {"link_id": "l"}),
    (
        "SyncNow",
        lambda c, **o: GatewayClient(c).sync_now("l", **o),
        link_pb2.SyncNowResponse(),
        {"link_id": "l"},
    ),
    (
        "GetJourney",
        lambda c, **o: GatewayClient(c).get_journey("j", **o),
        delivery_pb2.Journey(),
        {"journey_id": "j"},
    ),
]


@pytest.mark.parametrize(("method", "ask", "answer", "fields"), _CALLS, ids=[call[0] for call in _CALLS])
async def test_each_method_makes_its_call(
    method: str, ask: Callable[..., Awaitable[Any]], answer: Any, fields: dict[str, Any]
) -> None:
    """A client's method makes the call of its name, with its arguments, a deadline and the options."""
    channel = FakeChannel.answering(answer, answer)
    await ask(channel)
    await ask(channel, timeout=3.0, trace_parent="00-a-b-01", api_key="other")
    plain, chosen = channel.calls
    assert plain.method == method
    assert plain.request == type(plain.request)(**fields)
    assert (plain.timeout, plain.metadata) == (DEFAULT_TIMEOUT, {})
    assert (chosen.timeout, chosen.request) == (3.0, plain.request)
    assert chosen.metadata == {"authorization": "Bearer other", "traceparent": "00-a-b-01"}


@pytest.mark.parametrize(("method", "ask", "answer", "fields"), _CALLS, ids=[call[0] for call in _CALLS])
async def test_errors_are_restored(
    method: str, ask: Callable[..., Awaitable[Any]], answer: Any, fields: dict[str, Any]
) -> None:
    """What a service raised is raised again by each method, with its data."""
    channel = FakeChannel.answering(as_rpc_error(Overloaded("full", retry_after=1.5)))
    with pytest.raises(Overloaded, match="full") as raised:
        await ask(channel)
    assert raised.value.retry_after == 1.5


async def test_vendors_are_connected_once() -> None:
    """Connecting and linking carry a request id: the caller's, else a new one for each call."""
    link = link_pb2.Link()
    connected = integration_pb2.ConnectVendorResponse()
    channel = FakeChannel.answering(connected, connected, link, link)
    client = GatewayClient(channel.grpc)
    await client.connect_vendor("tave", credentials={"api_key": "k"}, base_url="https://t.example")
    await client.connect_vendor("tave", credentials={}, request_id="mine")
    await client.link_wedding("w", "i", scope={"job_id": "1"})
    await client.link_wedding("w", "i", scope={"job_id": "1"}, request_id="mine")
    ids = [call.request.request_id for call in channel.calls]
    assert [ids[1], ids[3]] == ["mine", "mine"]
    assert is_id(ids[0])
    assert is_id(ids[2])
    assert dict(channel.calls[0].request.credentials) == {"api_key": "k"}
    assert dict(channel.calls[2].request.scope) == {"job_id": "1"}


def test_every_rpc_of_the_contracts_has_a_method() -> None:
    """No client lags behind its contract."""
    methods = {
        name.replace("_", "")
        for client in (SyncClient, CommitsClient, ConflictsClient, HealthClient, GatewayClient)
        for name, _ in inspect.getmembers(client, inspect.isfunction)
    }
    files = (service_pb2, commit_pb2, conflicts_pb2, health_pb2, integration_pb2, link_pb2, delivery_pb2)
    rpcs = {
        method.name.lower()
        for file in files
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert rpcs <= methods
