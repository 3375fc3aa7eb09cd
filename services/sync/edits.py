"""The way of changes through this service: into the wedding's actor, and a trace of each for itself.

A batch is one physical act, but every change has its own trace. The traceparents of its spans are
given out before the work, because the commit's travels on with the facts; the spans are built
afterwards, from stage times.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from prometheus_client import Counter, Gauge

from services.sync.batch import Answer
from services.sync.mailbox import Applied
from services.sync.outbox import Outbox
from services.sync.pause import require_let_through
from wedsync.model.changes import Change, ChangeResult, Outcome
from wedsync.runtime.metrics import REGISTRY, observe_stage
from wedsync.runtime.telemetry import Telemetry

activations_total = Counter(
    "wedsync_sync_activations", "Weddings taken over by an actor of this server.", registry=REGISTRY
)
fenced_total = Counter(
    "wedsync_sync_fenced_writes", "Commits refused because another owner had taken over.", registry=REGISTRY
)
actors_gauge = Gauge("wedsync_sync_actors", "Actors of this server, by state.", ("state",), registry=REGISTRY)

APPLY_SECONDS = 30.0
"""How long anybody waits at most, whatever the deadline."""


class Owners(Protocol):
    """Whoever gets changes to the wedding's owner."""

    async def apply(
        self, wedding_id: str, changes: Sequence[Change], *, seconds: float, live_seconds: float
    ) -> Applied:
        """Have the wedding's owner apply the changes within some seconds."""
        ...


@dataclass(frozen=True, slots=True)
class _Trace:
    """The traceparents of one change's spans."""

    edit: str
    apply: str
    actor: str
    commit: str


class Edits:
    """Applies changes and keeps their traces."""

    def __init__(self, *, owners: Owners, telemetry: Telemetry) -> None:
        self._owners, self._telemetry = owners, telemetry

    async def apply(
        self,
        wedding_id: str,
        changes: Sequence[Change],
        *,
        seconds: float = APPLY_SECONDS,
        live_seconds: float = 0.0,
    ) -> Sequence[ChangeResult]:
        """Have the changes applied; raises `WeddingPaused` and what `Directory.apply` raises."""
        start = time.time_ns()
        traces = [self._trace(change) for change in changes]
        carried = [
            replace(change, trace_parent=trace.commit) for change, trace in zip(changes, traces, strict=True)
        ]
        applied = await self._owners.apply(wedding_id, carried, seconds=seconds, live_seconds=live_seconds)
        end = time.time_ns()
        for trace, result in zip(traces, applied.results, strict=True):
            self._record(trace, result, applied, start, end)
        require_let_through(applied.results)
        return applied.results

    def _trace(self, change: Change) -> _Trace:
        edit = change.trace_parent or self._telemetry.new_traceparent()
        if not self._telemetry.keeps(edit):
            return _Trace(edit, edit, edit, edit)  # nobody would see the spans between
        apply = self._telemetry.child(edit)
        actor = self._telemetry.child(apply)
        return _Trace(edit, apply, actor, self._telemetry.child(actor))

    def _record(self, trace: _Trace, result: ChangeResult, applied: Applied, start: int, end: int) -> None:
        stages = applied.stages
        if self._telemetry.keeps(trace.edit):
            self._record_spans(trace, result, applied, start, end)
        for stage, nanoseconds in (
            ("queue", applied.sent - applied.queued),
            ("actor", stages.committed - stages.received),
            ("commit", stages.committed - stages.planned),
            ("apply", end - start),
        ):
            observe_stage("sync", stage, nanoseconds / 1e9, traceparent=trace.edit)

    def _record_spans(
        self, trace: _Trace, result: ChangeResult, applied: Applied, start: int, end: int
    ) -> None:
        stages, record = applied.stages, self._telemetry.record
        outcome = {"wedsync.outcome": result.outcome.value}
        record("apply", trace.edit, start, end, outcome, traceparent=trace.apply)
        process = {"process.pid": applied.pid}
        record("actor", trace.apply, stages.received, stages.committed, process, traceparent=trace.actor)
        if _is_new(result):
            record("commit", trace.actor, stages.planned, stages.committed, {}, traceparent=trace.commit)


class Watchers(Protocol):
    """Whoever watches weddings."""

    def committed(self, wedding_id: str) -> None:
        """Show them what is new in the wedding's log."""
        ...


class AfterCommit:
    """What follows every answer of an actor: facts go out, watchers wake, numbers rise."""

    def __init__(self, *, outbox: Outbox, live: Watchers) -> None:
        self._outbox, self._live = outbox, live

    def __call__(self, answer: Answer) -> None:
        """Take the facts of an answer over."""
        activations_total.inc(answer.activations)
        fenced_total.inc(answer.fenced)
        for wedding_id, done in answer.done.items():
            self._outbox.offer(done.facts)
            if any(map(_is_new, done.results)):
                self._live.committed(wedding_id)


def _is_new(result: ChangeResult) -> bool:
    """Say whether the log grew by it."""
    return bool(result.sequence) and result.outcome is not Outcome.DUPLICATE
