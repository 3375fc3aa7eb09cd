"""Which webhooks and deliveries a request means, and whether it says enough to mean them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.gateway.store.journeys import Wanted
from services.gateway.store.stuck import Dead
from wedsync.api.gateway.v1 import delivery_pb2
from wedsync.convert.changes import moment
from wedsync.model.ids import is_id
from wedsync.runtime.requests import ID_HINT, Checks

MAX_WEBHOOKS, MAX_DELIVERIES = 50, 200

_TOO_MUCH = "or another choice must be given: all there is, is seldom meant"


def listed(request: delivery_pb2.ListWebhooksRequest | delivery_pb2.ReplayWebhooksRequest) -> Wanted:
    """Return which webhooks are meant."""
    return Wanted(
        state=request.state,
        vendor=request.vendor,
        reason=request.reason,
        cause=request.cause,
        since=moment(request.start_time) if request.HasField("start_time") else None,
        until=moment(request.end_time) if request.HasField("end_time") else None,
    )


def replayed(request: delivery_pb2.ReplayWebhooksRequest) -> Wanted:
    """Return which webhooks are to be replayed: those that are parked, unless it says otherwise.

    Raises `InvalidRequest`.
    """
    checks = Checks()
    chosen = any((request.state, request.vendor, request.reason, request.cause))
    timed = request.HasField("start_time") or request.HasField("end_time")
    checks.require(request.dry_run or is_id(request.request_id), "request_id", ID_HINT)
    checks.require(chosen or timed or bool(request.webhook_ids), "webhook_ids", _TOO_MUCH)
    _check_ids(checks, "webhook_ids", request.webhook_ids, MAX_WEBHOOKS)
    checks.finish()
    wanted = listed(request)
    return wanted if wanted.state or request.webhook_ids else replace(wanted, state="parked")


def dead(request: delivery_pb2.RetryDeliveriesRequest) -> Dead:
    """Return which parked deliveries are to be tried again. Raises `InvalidRequest`."""
    checks = Checks()
    chosen = (request.delivery_ids, request.link_id, request.vendor, request.reason, request.cause)
    checks.require(any(chosen), "delivery_ids", _TOO_MUCH)
    _check_ids(checks, "delivery_ids", request.delivery_ids, MAX_DELIVERIES)
    _check_ids(checks, "link_id", [request.link_id] if request.link_id else [], 1)
    checks.finish()
    return Dead(
        ids=request.delivery_ids,
        link_id=request.link_id,
        vendor=request.vendor,
        reason=request.reason,
        cause=request.cause,
    )


def _check_ids(checks: Checks, field: str, ids: Sequence[str], most: int) -> None:
    checks.require(len(ids) <= most, field, f"must hold at most {most}")
    checks.require(all(map(is_id, ids)), field, ID_HINT)
