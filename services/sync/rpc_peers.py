"""The services that hear our facts: stored JSON becomes messages here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.sync.facts import Fact
from services.sync.outbox import Deliver
from wedsync.api.conflicts.v1 import service_pb2 as conflicts_pb2
from wedsync.api.gateway.v1 import commit_pb2
from wedsync.client import CommitsClient, ConflictsClient
from wedsync.convert import item_to_message, kind_to_message, source_to_message, value_to_message
from wedsync.convert.changes import priority_to_message, timestamp
from wedsync.model.changes import Priority
from wedsync.model.codec import Json, load_item, load_source, load_value
from wedsync.model.items import ItemKind

_SECONDS = 10.0


def to_gateway(client: CommitsClient) -> Deliver:
    """Return how commits reach the gateway."""

    async def deliver(facts: Sequence[Fact]) -> None:
        await client.accept_commits([commit_message(fact) for fact in facts], timeout=_SECONDS)

    return deliver


def to_conflicts(client: ConflictsClient) -> Deliver:
    """Return how collisions reach the conflicts service."""

    async def deliver(facts: Sequence[Fact]) -> None:
        messages = [message for fact in facts for message in collision_messages(fact)]
        for start in range(0, len(messages), _MOST_COLLISIONS):
            await client.adjudicate(messages[start : start + _MOST_COLLISIONS], timeout=_SECONDS)

    return deliver


_MOST_COLLISIONS = 500
"""In one call; a fact holds one for each field that collided."""


def commit_message(fact: Fact) -> commit_pb2.Commit:
    """Return a commit as the gateway's contract has it."""
    body = fact.body
    return commit_pb2.Commit(
        wedding_id=fact.wedding_id,
        sequence=fact.sequence,
        change_id=body["change"],
        commit_time=timestamp(fact.committed_at) if fact.committed_at else None,
        item=item_to_message(fact.wedding_id, load_item(body["item"])),
        source=source_to_message(load_source(body["by"])),
        priority=priority_to_message(Priority(body["priority"])),
        trace_parent=fact.trace_parent,
    )


def collision_messages(fact: Fact) -> Iterator[conflicts_pb2.Collision]:
    """Yield one collision for each field that collided, as the conflicts service's contract has it."""
    kind = ItemKind(fact.body["kind"])
    for field in fact.body["fields"]:
        yield conflicts_pb2.Collision(
            wedding_id=fact.wedding_id,
            sequence=fact.sequence,
            item_id=fact.body["item"],
            item_kind=kind_to_message(kind),
            path=field["path"],
            current=_claim(kind, field, "current"),
            proposed=_claim(kind, field, "proposed"),
            commit_time=timestamp(fact.committed_at) if fact.committed_at else None,
            organization_ids=fact.body["members"],
            trace_parent=fact.trace_parent,
        )


def _claim(kind: ItemKind, field: Json, side: str) -> conflicts_pb2.Claim:
    return conflicts_pb2.Claim(
        value=value_to_message(kind, field["path"], load_value(field[side])),
        source=source_to_message(load_source(field[f"{side}_by"])),
    )
