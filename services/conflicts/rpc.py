"""What may be asked of the conflicts service: translate, call, translate back."""
# ruff: noqa: N802, ARG002  # names and parameters are gRPC's

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import grpc

from services.conflicts import rpc_requests as requests
from services.conflicts.acts import decision_change_id
from services.conflicts.conflict import Claim, Collision, Conflict, Decision, Ending, opened
from services.conflicts.paging import token_after
from services.conflicts.store.conflicts import ConflictsStore
from services.conflicts.words import summary
from wedsync.api.conflicts.v1 import service_pb2, service_pb2_grpc
from wedsync.clock import Clock
from wedsync.convert import kind_to_message, source_to_message, value_to_message
from wedsync.convert.changes import timestamp
from wedsync.runtime.metrics import observe_stage
from wedsync.runtime.principal import Scope, require
from wedsync.runtime.requests import page_size, require_id
from wedsync.runtime.telemetry import Telemetry, current_traceparent

Context = grpc.aio.ServicerContext[Any, Any]
SetTimes = Callable[[Conflict], Awaitable[Mapping[int, datetime]]]
"""Finds out when the values of a conflict were set, by their places in the wedding's log."""


class ConflictsRpc(service_pb2_grpc.ConflictServiceServicer):
    """The servicer of `ConflictService`."""

    def __init__(
        self,
        *,
        store: ConflictsStore,
        telemetry: Telemetry,
        clock: Clock,
        set_times: SetTimes,
        on_act: Callable[[], None],
    ) -> None:
        self._store, self._telemetry, self._clock = store, telemetry, clock
        self._set_times, self._on_act = set_times, on_act

    async def Adjudicate(
        self, request: service_pb2.AdjudicateRequest, context: Context
    ) -> service_pb2.AdjudicateResponse:
        """Open a conflict for each collision that is not known yet, and close those that ended."""
        require(Scope.INTERNAL)
        (collisions, endings), start = requests.told(request), time.time_ns()
        await self._store.keep(opened(collisions), endings)
        self._on_act()
        for collision in collisions:
            self._trace("adjudicate", collision, collision.committed_at, start)
        for ending in endings:
            self._trace("close conflict", ending, ending.ended_at, start)
        return service_pb2.AdjudicateResponse()

    async def GetConflict(
        self, request: service_pb2.GetConflictRequest, context: Context
    ) -> service_pb2.Conflict:
        """Return one conflict."""
        caller = require(Scope.READ)
        conflict_id = require_id("conflict_id", request.conflict_id)
        conflict = await self._store.get([caller.organization_id], conflict_id)
        return _conflict(conflict, await self._set_times(conflict))

    async def ResolveConflict(
        self, request: service_pb2.ResolveConflictRequest, context: Context
    ) -> service_pb2.Conflict:
        """Decide a conflict."""
        caller = require(Scope.WRITE)
        by = requests.decider(request, caller)
        conflict_id = require_id("conflict_id", request.conflict_id)
        choose = requests.chosen(request, by)
        decided = await self._store.decide(by.organization_id, conflict_id, choose)
        self._on_act()
        return _conflict(decided)

    async def ListConflicts(
        self, request: service_pb2.ListConflictsRequest, context: Context
    ) -> service_pb2.ListConflictsResponse:
        """List conflicts, newest first."""
        caller, size = require(Scope.READ), page_size(request.page_size)
        found = await self._store.newest(
            caller.organization_id,
            limit=size + 1,
            wedding_id=require_id("wedding_id", request.wedding_id) if request.wedding_id else None,
            state=requests.state_from(request.state),
            after=requests.page_start(request.page_token),
        )
        page, more = found[:size], len(found) > size
        return service_pb2.ListConflictsResponse(
            conflicts=[_conflict(conflict) for conflict in page],
            next_page_token=token_after(page[-1]) if more else "",
        )

    def _trace(self, name: str, told: Collision | Ending, committed_at: datetime, start: int) -> None:
        # The batch is a span of the caller's trace; each fact has one in the trace of its own edit.
        batch = current_traceparent()
        own = self._telemetry.record(
            name,
            told.trace_parent or None,
            start,
            time.time_ns(),
            {"path": told.path, **_kind_of(told)},
            links=[batch] if batch else [],
        )
        waited = (self._clock.now() - committed_at).total_seconds()
        observe_stage("conflicts", "adjudicate", waited, traceparent=own)


def _kind_of(told: Collision | Ending) -> dict[str, str]:
    return {"item_kind": told.item_kind.value} if isinstance(told, Collision) else {}


def _conflict(conflict: Conflict, set_times: Mapping[int, datetime] | None = None) -> service_pb2.Conflict:
    collision, times = conflict.collision, set_times or {}
    return service_pb2.Conflict(
        conflict_id=conflict.conflict_id,
        wedding_id=collision.wedding_id,
        sequence=collision.sequence,
        item_id=collision.item_id,
        item_kind=kind_to_message(collision.item_kind),
        path=collision.path,
        current=_claim(collision, collision.current, times),
        proposed=_claim(collision, collision.proposed, times),
        state=service_pb2.ConflictState.Value(f"CONFLICT_STATE_{conflict.state.value.upper()}"),
        create_time=timestamp(collision.committed_at),
        end_time=timestamp(conflict.ended_at) if conflict.ended_at else None,
        final=_claim(collision, conflict.final, times) if conflict.final else None,
        decision=_decision(conflict, conflict.decision) if conflict.decision else None,
        summary=summary(conflict),
    )


def _decision(conflict: Conflict, decision: Decision) -> service_pb2.Decision:
    collision = conflict.collision
    return service_pb2.Decision(
        choice=service_pb2.Choice.Value(f"CHOICE_{decision.choice.value.upper()}"),
        value=value_to_message(collision.item_kind, collision.path, decision.value),
        source=source_to_message(decision.source) if decision.source else None,
        policy=decision.policy,
        policy_version=decision.policy_version,
        reason=decision.reason,
        decide_time=timestamp(decision.decided_at) if decision.decided_at else None,
        change_id=decision_change_id(conflict.conflict_id),
    )


def _claim(collision: Collision, claim: Claim, times: Mapping[int, datetime]) -> service_pb2.Claim:
    kind, set_at = collision.item_kind, times.get(claim.revision)
    return service_pb2.Claim(
        value=value_to_message(kind, collision.path, claim.value),
        source=source_to_message(claim.source),
        revision=claim.revision,
        values={path: value_to_message(kind, path, value) for path, value in claim.values.items()},
        set_time=timestamp(set_at) if set_at else None,
    )
