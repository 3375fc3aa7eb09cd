"""What came in, what went out, and the path of one edit."""
# ruff: noqa: N802, ARG002  # names and parameters are gRPC's

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc

from services.gateway.journey import Stage, complete, stages, trace_id
from services.gateway.journey_words import summary
from services.gateway.replay import Replays
from services.gateway.rpc.paging import page_start, token_after
from services.gateway.rpc.plans import replayed_to_message
from services.gateway.rpc.wanted import dead, listed, replayed
from services.gateway.store.journeys import JourneyStore
from services.gateway.store.latency import (
    DEFAULT_WINDOW_SECONDS,
    MAX_WINDOW_SECONDS,
    LatencyStore,
    StageLatency,
)
from wedsync import errors
from wedsync.api.gateway.v1 import delivery_pb2, delivery_pb2_grpc
from wedsync.convert.changes import timestamp
from wedsync.errors import FieldViolation
from wedsync.runtime.principal import Scope, require
from wedsync.runtime.requests import page_size, require_id

DEFAULT_REPLAYS, MAX_REPLAYS = 20, 50
"""Each may cost its vendor a call or two, and all must be done within the caller's patience."""

Context = grpc.aio.ServicerContext[Any, Any]


class DeliveryRpc(delivery_pb2_grpc.DeliveryServiceServicer):
    """The servicer of `DeliveryService`."""

    def __init__(self, *, store: JourneyStore, latency: LatencyStore, replays: Replays) -> None:
        self._store, self._latency, self._replays = store, latency, replays

    async def ListWebhooks(
        self, request: delivery_pb2.ListWebhooksRequest, context: Context
    ) -> delivery_pb2.ListWebhooksResponse:
        """List webhooks, newest first."""
        principal, size = require(Scope.READ), page_size(request.page_size)
        found = await self._store.webhooks(
            principal.organization_id,
            listed(request),
            after=page_start(request.page_token),
            limit=size + 1,
        )
        return delivery_pb2.ListWebhooksResponse(
            webhooks=[_webhook(row) for row in found[:size]],
            next_page_token=_next(found, size, "accepted_at"),
        )

    async def ListDeliveries(
        self, request: delivery_pb2.ListDeliveriesRequest, context: Context
    ) -> delivery_pb2.ListDeliveriesResponse:
        """List deliveries of a wedding, newest first."""
        principal, size = require(Scope.READ), page_size(request.page_size)
        found = await self._store.deliveries(
            principal.organization_id,
            wedding_id=require_id("wedding_id", request.wedding_id),
            state=request.state,
            after=page_start(request.page_token),
            limit=size + 1,
        )
        return delivery_pb2.ListDeliveriesResponse(
            deliveries=[_delivery(row) for row in found[:size]],
            next_page_token=_next(found, size, "created_at"),
        )

    async def ReplayWebhooks(
        self, request: delivery_pb2.ReplayWebhooksRequest, context: Context
    ) -> delivery_pb2.ReplayWebhooksResponse:
        """Read webhooks once more, or say what that would change."""
        principal, wanted = require(Scope.WRITE), replayed(request)
        size = page_size(request.page_size, default=DEFAULT_REPLAYS, most=MAX_REPLAYS)
        found = await self._replays.find(
            principal.organization_id,
            wanted,
            ids=request.webhook_ids,
            after=page_start(request.page_token),
            limit=size + 1,
        )
        page = found[:size]
        done = (
            await self._replays.preview(page)
            if request.dry_run
            else await self._replays.replay(page, request_id=request.request_id)
        )
        last = page[-1].received if len(found) > size else None
        return delivery_pb2.ReplayWebhooksResponse(
            webhooks=[replayed_to_message(one) for one in done],
            next_page_token=token_after(last.accepted_at, last.webhook_id) if last else "",
        )

    async def RetryDeliveries(
        self, request: delivery_pb2.RetryDeliveriesRequest, context: Context
    ) -> delivery_pb2.RetryDeliveriesResponse:
        """Try parked deliveries again."""
        principal, size = require(Scope.WRITE), page_size(request.page_size)
        retried, more = await self._replays.retry(
            principal.organization_id, dead(request), after=page_start(request.page_token), limit=size
        )
        last = retried[-1] if more else None
        return delivery_pb2.RetryDeliveriesResponse(
            deliveries=[_delivery({**row, "state": "due", "attempts": 0}) for row in retried],
            next_page_token=token_after(last["created_at"], str(last["id"])) if last else "",
        )

    async def GetJourney(
        self, request: delivery_pb2.GetJourneyRequest, context: Context
    ) -> delivery_pb2.Journey:
        """Return the recorded path of one webhook or change."""
        principal = require(Scope.READ)
        journey_id = require_id("journey_id", request.journey_id)
        steps = await self._store.steps(principal.organization_id, journey_id)
        if steps.webhook is None and not steps.changes and not steps.deliveries:
            raise errors.NotFound("Nothing is recorded of this webhook or change.")
        return delivery_pb2.Journey(
            journey_id=journey_id,
            trace_id=trace_id(steps),
            stages=[_stage(stage) for stage in stages(steps)],
            complete=complete(steps),
            summary=summary(steps),
        )

    async def GetLatency(
        self, request: delivery_pb2.GetLatencyRequest, context: Context
    ) -> delivery_pb2.GetLatencyResponse:
        """Sum up how long each stage took."""
        principal = require(Scope.READ)
        window = request.window_seconds or DEFAULT_WINDOW_SECONDS
        if not 0 < window <= MAX_WINDOW_SECONDS:
            problem = FieldViolation("window_seconds", f"must be from 1 to {MAX_WINDOW_SECONDS}")
            raise errors.InvalidRequest(violations=[problem])
        measured = await self._latency.stages(
            principal.organization_id,
            wedding_id=require_id("wedding_id", request.wedding_id) if request.wedding_id else None,
            seconds=window,
        )
        return delivery_pb2.GetLatencyResponse(stages=[_latency(stage) for stage in measured])


def _next(found: Any, size: int, column: str) -> str:
    return token_after(found[size - 1][column], str(found[size - 1]["id"])) if len(found) > size else ""


def _webhook(row: Mapping[Any, Any]) -> delivery_pb2.Webhook:
    return delivery_pb2.Webhook(
        webhook_id=str(row["id"]),
        vendor=row["vendor"],
        integration_id=str(row["integration_id"]),
        state=row["state"],
        reason=row["reason"],
        accept_time=timestamp(row["accepted_at"]),
        change_ids=[str(change_id) for change_id in row["change_ids"]],
        repeats=row["repeats"],
        event=row["event_name"],
        cause=row["cause"],
        parent_id=str(row["parent_id"] or ""),
        record_id=row["record_id"] or "",
        link_id=str(row["link_id"] or ""),
    )


def _delivery(row: Mapping[Any, Any]) -> delivery_pb2.Delivery:
    return delivery_pb2.Delivery(
        delivery_id=str(row["id"]),
        link_id=str(row["link_id"]),
        vendor=row["vendor"],
        item_id=str(row["item_id"]),
        change_id=str(row["change_id"] or ""),
        state=row["state"],
        reason=row["reason"],
        attempts=row["attempts"],
        create_time=timestamp(row["created_at"]),
        confirm_time=timestamp(row["confirmed_at"]) if row["confirmed_at"] else None,
        cause=row["cause"],
    )


def _latency(stage: StageLatency) -> delivery_pb2.StageLatency:
    return delivery_pb2.StageLatency(
        vendor=stage.vendor,
        stage=stage.stage,
        count=stage.count,
        p50_milliseconds=stage.p50,
        p95_milliseconds=stage.p95,
        p99_milliseconds=stage.p99,
    )


def _stage(stage: Stage) -> delivery_pb2.Stage:
    return delivery_pb2.Stage(
        name=stage.name,
        start_time=timestamp(stage.started_at),
        end_time=timestamp(stage.ended_at) if stage.ended_at else None,
        detail=stage.detail,
    )
