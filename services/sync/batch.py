"""What the service and an actor say to each other: bytes only, so that nothing is ever unpickled.

One batch holds the work of every wedding of one actor; the answer holds what became of each, what is
to be told to others, and when each stage ended.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from services.sync.facts import Destination, Fact
from wedsync.errors import ERRORS, WedSyncError
from wedsync.model.changes import Change, ChangeResult, Priority
from wedsync.model.codec import dump_change, dump_result, load_change, load_result

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one call asks of an actor."""

    work: Mapping[str, Sequence[Change]]
    """Changes in their order, by wedding."""
    release: Sequence[str] = ()
    """Weddings to let go of first."""
    seconds: float = float("inf")
    """How long anybody still waits for the answer."""
    adopt: bool = True
    """Take weddings over that the owner does not own yet; else they are refused as `NotOwner`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of one wedding's part of a batch: results and facts, or the error that stopped it."""

    results: Sequence[ChangeResult] = ()
    facts: Sequence[Fact] = ()
    error: WedSyncError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """When the actor got the batch, had planned it, and had committed it: nanoseconds of the epoch."""

    received: int
    planned: int
    committed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an actor answers to a batch."""

    pid: int
    stages: Stages
    done: Mapping[str, Done]
    activations: int = 0
    fenced: int = 0


def dump_batch(batch: Batch) -> bytes:
    """Return the batch as bytes."""
    work = {wedding: [_dump_try(change) for change in changes] for wedding, changes in batch.work.items()}
    seconds = batch.seconds if math.isfinite(batch.seconds) else None
    return orjson.dumps(
        {"release": list(batch.release), "work": work, "seconds": seconds, "adopt": batch.adopt}
    )


def load_batch(data: bytes) -> Batch:
    """Return the batch that `dump_batch` wrote."""
    record = orjson.loads(data)
    work = {wedding: [_load_try(change) for change in tries] for wedding, tries in record["work"].items()}
    seconds = math.inf if record["seconds"] is None else record["seconds"]
    return Batch(work=work, release=record["release"], seconds=seconds, adopt=record["adopt"])


def dump_answer(answer: Answer) -> bytes:
    """Return the answer as bytes."""
    stages = answer.stages
    return orjson.dumps(
        {
            "pid": answer.pid,
            "stages": [stages.received, stages.planned, stages.committed],
            "done": {wedding: _dump_done(done) for wedding, done in answer.done.items()},
            "activations": answer.activations,
            "fenced": answer.fenced,
        }
    )


def load_answer(data: bytes) -> Answer:
    """Return the answer that `dump_answer` wrote."""
    record = orjson.loads(data)
    received, planned, committed = record["stages"]
    return Answer(
        pid=record["pid"],
        stages=Stages(received=received, planned=planned, committed=committed),
        done={wedding: _load_done(done) for wedding, done in record["done"].items()},
        activations=record["activations"],
        fenced=record["fenced"],
    )


def _dump_try(change: Change) -> dict[str, Any]:
    return {"c": dump_change(change), "lane": change.priority.value, "trace": change.trace_parent}


def _load_try(record: Json) -> Change:
    return load_change(record["c"], priority=Priority(record["lane"]), trace_parent=record["trace"])


def _dump_done(done: Done) -> dict[str, Any]:
    return {
        "results": [dump_result(result) for result in done.results],
        "facts": [_dump_fact(fact) for fact in done.facts],
        "error": _dump_error(done.error) if done.error else None,
    }


def _load_done(record: Json) -> Done:
    return Done(
        results=tuple(load_result(result) for result in record["results"]),
        facts=tuple(_load_fact(fact) for fact in record["facts"]),
        error=_load_error(record["error"]) if record["error"] else None,
    )


def _dump_fact(fact: Fact) -> dict[str, Any]:
    return {
        "id": fact.fact_id,
        "wedding": fact.wedding_id,
        "seq": fact.sequence,
        "to": fact.destination.value,
        "body": fact.body,
        "lane": fact.priority.value,
        "trace": fact.trace_parent,
        "at": fact.committed_at.isoformat() if fact.committed_at else None,
    }


def _load_fact(record: Json) -> Fact:
    return Fact(
        fact_id=record["id"],
        wedding_id=record["wedding"],
        sequence=record["seq"],
        destination=Destination(record["to"]),
        body=record["body"],
        priority=Priority(record["lane"]),
        trace_parent=record["trace"],
        committed_at=datetime.fromisoformat(record["at"]) if record["at"] else None,
    )


def _dump_error(error: WedSyncError) -> dict[str, Any]:
    return {
        "reason": error.reason,
        "message": str(error),
        "after": error.retry_after,
        "metadata": error.metadata,
    }


def _load_error(record: Json) -> WedSyncError:
    kind = ERRORS.get(record["reason"], WedSyncError)
    return kind(record["message"], retry_after=record["after"], metadata=record["metadata"])
