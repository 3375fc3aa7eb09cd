"""Which part of a vendor's data belongs to which wedding."""
# ruff: noqa: N802, ARG002  # names and parameters are gRPC's

from __future__ import annotations

from datetime import datetime
from typing import Any

import grpc

from services.gateway.accounts import Accounts, writer
from services.gateway.link_plan import LinkPlanner
from services.gateway.records import Backfill, Link
from services.gateway.rpc.plans import plan_to_message
from services.gateway.store.links import LinkStore, Match
from services.gateway.upkeep import Upkeep
from wedsync.api.gateway.v1 import link_pb2, link_pb2_grpc
from wedsync.clock import Clock
from wedsync.convert.changes import timestamp
from wedsync.runtime.principal import Scope, require
from wedsync.runtime.requests import require_id

Context = grpc.aio.ServicerContext[Any, Any]


class LinkRpc(link_pb2_grpc.LinkServiceServicer):
    """The servicer of `LinkService`."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        upkeep: Upkeep,
        planner: LinkPlanner,
        links: LinkStore,
        clock: Clock,
    ) -> None:
        self._accounts, self._upkeep, self._planner = accounts, upkeep, planner
        self._links, self._clock = links, clock

    async def PlanLink(self, request: link_pb2.PlanLinkRequest, context: Context) -> link_pb2.LinkPlan:
        """Say what a link would do."""
        plan = await self._planner.plan(
            require(Scope.WRITE),
            wedding_id=require_id("wedding_id", request.wedding_id),
            integration_id=require_id("integration_id", request.integration_id),
            scope=dict(request.scope),
        )
        return plan_to_message(plan)

    async def LinkWedding(self, request: link_pb2.LinkWeddingRequest, context: Context) -> link_pb2.Link:
        """Join an account to a wedding."""
        link = await self._accounts.link(
            writer(require(Scope.WRITE)),
            request_id=request.request_id,
            wedding_id=require_id("wedding_id", request.wedding_id),
            integration_id=require_id("integration_id", request.integration_id),
            scope=dict(request.scope),
            matches=[Match(record_id=m.record_id, item_id=m.item_id) for m in request.matches],
        )
        return self._shown(link)

    async def UnlinkWedding(self, request: link_pb2.UnlinkWeddingRequest, context: Context) -> link_pb2.Link:
        """End a link."""
        principal = writer(require(Scope.WRITE))
        return self._shown(await self._upkeep.unlink(principal, request.link_id))

    async def ListLinks(
        self, request: link_pb2.ListLinksRequest, context: Context
    ) -> link_pb2.ListLinksResponse:
        """List the caller's links of a wedding."""
        principal = require(Scope.READ)
        wedding_id = require_id("wedding_id", request.wedding_id)
        found = await self._links.links([principal.organization_id], wedding_id=wedding_id)
        shown = [link for link in found if request.show_ended or not link.ended]
        return link_pb2.ListLinksResponse(links=[self._shown(link) for link in shown])

    async def PauseLink(self, request: link_pb2.PauseLinkRequest, context: Context) -> link_pb2.Link:
        """Stop reading and writing."""
        return await self._set_active(request.link_id, active=False)

    async def ResumeLink(self, request: link_pb2.ResumeLinkRequest, context: Context) -> link_pb2.Link:
        """Go on reading and writing."""
        return await self._set_active(request.link_id, active=True, believe_deletes=request.believe_deletes)

    async def SyncNow(self, request: link_pb2.SyncNowRequest, context: Context) -> link_pb2.SyncNowResponse:
        """Look at the vendor now."""
        await self._accounts.sync_now(require(Scope.WRITE), request.link_id)
        return link_pb2.SyncNowResponse()

    async def _set_active(
        self, link_id: str, *, active: bool, believe_deletes: bool = False
    ) -> link_pb2.Link:
        link = await self._accounts.set_active(
            require(Scope.WRITE), link_id, active=active, believe_deletes=believe_deletes
        )
        return self._shown(link)

    def _shown(self, link: Link) -> link_pb2.Link:
        return _link(link, self._clock.now())


def _link(link: Link, now: datetime) -> link_pb2.Link:
    return link_pb2.Link(
        link_id=link.link_id,
        wedding_id=link.wedding_id,
        integration_id=link.integration_id,
        vendor=link.vendor,
        scope=dict(link.scope),
        state=link_pb2.LinkState.Value(f"LINK_STATE_{link.state.upper()}"),
        reason=link.reason or link.push_reason,
        create_time=timestamp(link.created_at) if link.created_at else None,
        scan_time=timestamp(link.scanned_at) if link.scanned_at else None,
        backfill=_backfill(link.backfill, now),
        poll_seconds=link.poll_seconds or 0,
    )


def _backfill(backfill: Backfill, now: datetime) -> link_pb2.Backfill:
    return link_pb2.Backfill(
        start_time=timestamp(backfill.started_at) if backfill.started_at else None,
        end_time=timestamp(backfill.ended_at) if backfill.ended_at else None,
        records=backfill.records,
        pages=backfill.pages,
        expected_records=backfill.expected,
        remaining_seconds=backfill.remaining_seconds(now),
    )
