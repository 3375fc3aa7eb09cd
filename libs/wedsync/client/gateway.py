"""The gateway: accounts at vendors, links to weddings, and what came in and went out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Unpack

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from wedsync.api.gateway.v1 import (
    delivery_pb2,
    delivery_pb2_grpc,
    integration_pb2,
    integration_pb2_grpc,
    link_pb2,
    link_pb2_grpc,
)
from wedsync.client.calls import CallOptions, pages, unary
from wedsync.convert.changes import timestamp
from wedsync.model.ids import new_id


class GatewayClient:
    """IntegrationService, LinkService and DeliveryService. `request_id` makes a call safe to repeat."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._integrations = integration_pb2_grpc.IntegrationServiceStub(channel)
        self._links = link_pb2_grpc.LinkServiceStub(channel)
        self._deliveries = delivery_pb2_grpc.DeliveryServiceStub(channel)

    async def list_vendors(self, **options: Unpack[CallOptions]) -> Sequence[integration_pb2.Vendor]:
        """Return the vendors that can be connected and what each can do."""
        request = integration_pb2.ListVendorsRequest()
        return (await unary(self._integrations.ListVendors, request, options)).vendors

    async def connect_vendor(
        self,
        vendor: str,
        *,
        credentials: Mapping[str, str],
        base_url: str = "",
        request_id: str = "",
        **options: Unpack[CallOptions],
    ) -> integration_pb2.ConnectVendorResponse:
        """Connect the caller's account at a vendor; they are tried when a wedding is linked."""
        request = integration_pb2.ConnectVendorRequest(
            request_id=request_id or new_id(), vendor=vendor, credentials=credentials, base_url=base_url
        )
        return await unary(self._integrations.ConnectVendor, request, options)

    async def get_integration(
        self, integration_id: str, **options: Unpack[CallOptions]
    ) -> integration_pb2.Integration:
        """Return one integration. Raises `NotFound`."""
        request = integration_pb2.GetIntegrationRequest(integration_id=integration_id)
        return await unary(self._integrations.GetIntegration, request, options)

    def list_integrations(
        self, *, page_size: int = 0, **options: Unpack[CallOptions]
    ) -> AsyncIterator[integration_pb2.Integration]:
        """Yield the caller's integrations."""

        async def fetch(token: str) -> tuple[Sequence[integration_pb2.Integration], str]:
            request = integration_pb2.ListIntegrationsRequest(page_size=page_size, page_token=token)
            answer = await unary(self._integrations.ListIntegrations, request, options)
            return answer.integrations, answer.next_page_token

        return pages("", fetch)

    async def update_integration(
        self,
        integration_id: str,
        *,
        credentials: Mapping[str, str] | None = None,
        base_url: str = "",
        **options: Unpack[CallOptions],
    ) -> integration_pb2.Integration:
        """Give new credentials or another address; what is not given stays."""
        request = integration_pb2.UpdateIntegrationRequest(
            integration_id=integration_id, credentials=credentials or {}, base_url=base_url
        )
        return await unary(self._integrations.UpdateIntegration, request, options)

    async def test_integration(
        self,
        integration_id: str,
        *,
        scope: Mapping[str, str] | None = None,
        **options: Unpack[CallOptions],
    ) -> Sequence[integration_pb2.IntegrationTest]:
        """Try every link of an account, or a scope; nothing is written at the vendor."""
        request = integration_pb2.TestIntegrationRequest(integration_id=integration_id, scope=scope or {})
        return (await unary(self._integrations.TestIntegration, request, options)).tests

    async def disconnect_vendor(
        self, integration_id: str, **options: Unpack[CallOptions]
    ) -> integration_pb2.Integration:
        """End all work with an account for good; nothing is deleted at the vendor."""
        request = integration_pb2.DisconnectVendorRequest(integration_id=integration_id)
        return await unary(self._integrations.DisconnectVendor, request, options)

    async def rotate_webhook_secret(
        self,
        integration_id: str,
        secret: str,
        *,
        overlap_seconds: int | None = None,
        request_id: str = "",
        **options: Unpack[CallOptions],
    ) -> int:
        """Give the secret a vendor signs its webhooks with; return how many are valid now."""
        request = integration_pb2.RotateWebhookSecretRequest(
            request_id=request_id or new_id(),
            integration_id=integration_id,
            secret=secret,
            overlap_seconds=overlap_seconds,
        )
        return (await unary(self._integrations.RotateWebhookSecret, request, options)).valid_secrets

    async def plan_link(
        self,
        wedding_id: str,
        integration_id: str,
        *,
        scope: Mapping[str, str],
        **options: Unpack[CallOptions],
    ) -> link_pb2.LinkPlan:
        """Say what a link would create, match and change on each side; nothing is written."""
        request = link_pb2.PlanLinkRequest(wedding_id=wedding_id, integration_id=integration_id, scope=scope)
        return await unary(self._links.PlanLink, request, options)

    async def link_wedding(
        self,
        wedding_id: str,
        integration_id: str,
        *,
        scope: Mapping[str, str],
        matches: Sequence[link_pb2.Match] = (),
        request_id: str = "",
        **options: Unpack[CallOptions],
    ) -> link_pb2.Link:
        """Join an integration to a wedding; `matches` are what is there on both sides already."""
        request = link_pb2.LinkWeddingRequest(
            request_id=request_id or new_id(),
            wedding_id=wedding_id,
            integration_id=integration_id,
            scope=scope,
            matches=matches,
        )
        return await unary(self._links.LinkWedding, request, options)

    async def unlink_wedding(self, link_id: str, **options: Unpack[CallOptions]) -> link_pb2.Link:
        """End a link for good; nothing is deleted on either side."""
        return await unary(self._links.UnlinkWedding, link_pb2.UnlinkWeddingRequest(link_id=link_id), options)

    async def list_links(
        self, wedding_id: str, *, show_ended: bool = False, **options: Unpack[CallOptions]
    ) -> Sequence[link_pb2.Link]:
        """Return the links of a wedding, those that ended only if asked for."""
        request = link_pb2.ListLinksRequest(wedding_id=wedding_id, show_ended=show_ended)
        return (await unary(self._links.ListLinks, request, options)).links

    async def pause_link(self, link_id: str, **options: Unpack[CallOptions]) -> link_pb2.Link:
        """Stop reading from and writing to the vendor through this link."""
        return await unary(self._links.PauseLink, link_pb2.PauseLinkRequest(link_id=link_id), options)

    async def resume_link(
        self, link_id: str, *, believe_deletes: bool = False, **options: Unpack[CallOptions]
    ) -> link_pb2.Link:
        """Go on where the link was paused; `believe_deletes`: what is gone at the vendor is meant to be."""
        request = link_pb2.ResumeLinkRequest(link_id=link_id, believe_deletes=believe_deletes)
        return await unary(self._links.ResumeLink, request, options)

    async def sync_now(self, link_id: str, **options: Unpack[CallOptions]) -> None:
        """Look at the vendor now instead of at the next interval."""
        await unary(self._links.SyncNow, link_pb2.SyncNowRequest(link_id=link_id), options)

    def list_webhooks(
        self,
        *,
        state: str = "",
        vendor: str = "",
        reason: str = "",
        cause: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = 0,
        **options: Unpack[CallOptions],
    ) -> AsyncIterator[delivery_pb2.Webhook]:
        """Yield webhooks and records worked on by themselves, newest first.

        `reason` is text within the reason, `cause` why it failed in a word.
        """

        async def fetch(token: str) -> tuple[Sequence[delivery_pb2.Webhook], str]:
            request = delivery_pb2.ListWebhooksRequest(
                state=state,
                vendor=vendor,
                reason=reason,
                cause=cause,
                start_time=_stamp(since),
                end_time=_stamp(until),
                page_size=page_size,
                page_token=token,
            )
            answer = await unary(self._deliveries.ListWebhooks, request, options)
            return answer.webhooks, answer.next_page_token

        return pages("", fetch)

    def list_deliveries(
        self, wedding_id: str, *, state: str = "", page_size: int = 0, **options: Unpack[CallOptions]
    ) -> AsyncIterator[delivery_pb2.Delivery]:
        """Yield a wedding's deliveries to vendors, newest first."""

        async def fetch(token: str) -> tuple[Sequence[delivery_pb2.Delivery], str]:
            request = delivery_pb2.ListDeliveriesRequest(
                wedding_id=wedding_id, state=state, page_size=page_size, page_token=token
            )
            answer = await unary(self._deliveries.ListDeliveries, request, options)
            return answer.deliveries, answer.next_page_token

        return pages("", fetch)

    def replay_webhooks(
        self,
        webhook_ids: Sequence[str] = (),
        *,
        state: str = "",
        vendor: str = "",
        reason: str = "",
        cause: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        dry_run: bool = False,
        request_id: str = "",
        **options: Unpack[CallOptions],
    ) -> AsyncIterator[delivery_pb2.ReplayedWebhook]:
        """Read webhooks once more and yield each with its replay.

        Those that are parked, unless ids or a state are given. With `dry_run` nothing is written, and each
        comes with what it would change.
        """
        request_id = request_id or new_id()

        async def fetch(token: str) -> tuple[Sequence[delivery_pb2.ReplayedWebhook], str]:
            request = delivery_pb2.ReplayWebhooksRequest(
                request_id=request_id,
                dry_run=dry_run,
                webhook_ids=webhook_ids,
                state=state,
                vendor=vendor,
                reason=reason,
                cause=cause,
                start_time=_stamp(since),
                end_time=_stamp(until),
                page_token=token,
            )
            answer = await unary(self._deliveries.ReplayWebhooks, request, options)
            return answer.webhooks, answer.next_page_token

        return pages("", fetch)

    def retry_deliveries(
        self,
        delivery_ids: Sequence[str] = (),
        *,
        link_id: str = "",
        vendor: str = "",
        reason: str = "",
        cause: str = "",
        **options: Unpack[CallOptions],
    ) -> AsyncIterator[delivery_pb2.Delivery]:
        """Try parked deliveries again and yield those that are due now."""

        async def fetch(token: str) -> tuple[Sequence[delivery_pb2.Delivery], str]:
            request = delivery_pb2.RetryDeliveriesRequest(
                delivery_ids=delivery_ids,
                link_id=link_id,
                vendor=vendor,
                reason=reason,
                cause=cause,
                page_token=token,
            )
            answer = await unary(self._deliveries.RetryDeliveries, request, options)
            return answer.deliveries, answer.next_page_token

        return pages("", fetch)

    async def get_journey(self, journey_id: str, **options: Unpack[CallOptions]) -> delivery_pb2.Journey:
        """Return the recorded path of one webhook or change. Raises `NotFound`."""
        request = delivery_pb2.GetJourneyRequest(journey_id=journey_id)
        return await unary(self._deliveries.GetJourney, request, options)

    async def get_latency(
        self, *, wedding_id: str = "", window_seconds: int = 0, **options: Unpack[CallOptions]
    ) -> Sequence[delivery_pb2.StageLatency]:
        """Return how long each stage took, by vendor, over the last while."""
        request = delivery_pb2.GetLatencyRequest(wedding_id=wedding_id, window_seconds=window_seconds)
        return (await unary(self._deliveries.GetLatency, request, options)).stages


def _stamp(moment: datetime | None) -> Timestamp | None:
    return timestamp(moment) if moment is not None else None
