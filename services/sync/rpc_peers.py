"""The services that hear our facts: stored JSON becomes messages here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import MappingProxyType

from services.sync.facts import Fact
from services.sync.outbox import Deliver
from wedsync.api.conflicts.v1 import service_pb2 as conflicts_pb2
from wedsync.api.gateway.v1 import commit_pb2
from wedsync.client import CommitsClient, ConflictsClient
from wedsync.convert import item_to_message, kind_to_message, source_to_message, value_to_message
from wedsync.convert.changes import priority_to_message, timestamp
from wedsync.model.changes import Priority
from wedsync.model.codec import Json, load_item, load_source, load_value, load_values
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
        collisions = [message for fact in facts for message in collision_messages(fact)]
        endings = [message for fact in facts for message in ending_messages(fact)]
        for start in range(0, max(len(collisions), len(endings)), _MOST):
            part = slice(start, start + _MOST)
            await client.adjudicate(collisions[part], endings[part], timeout=_SECONDS)

    return deliver


_MOST = 500
"""Of each in one call; a fact holds one for each field concerned."""


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
            sequence=field.get("seq", fact.sequence),
            as_of_sequence=fact.sequence,
            item_id=fact.body["item"],
            item_kind=kind_to_message(kind),
            path=field["path"],
            current=_claim(kind, field, "current"),
            proposed=_claim(kind, field, "proposed", field.get("values", {})),
            commit_time=timestamp(fact.committed_at) if fact.committed_at else None,
            organization_ids=fact.body["members"],
            trace_parent=fact.trace_parent,
        )


def ending_messages(fact: Fact) -> Iterator[conflicts_pb2.Ending]:
    """Yield one ending for each disagreement that is over."""
    kind = ItemKind(fact.body["kind"])
    for field in fact.body.get("endings", ()):
        yield conflicts_pb2.Ending(
            wedding_id=fact.wedding_id,
            sequence=field["seq"],
            item_id=fact.body["item"],
            item_kind=kind_to_message(kind),
            path=field["path"],
            final=_claim(kind, {**field, "final_rev": fact.sequence}, "final"),
            end_sequence=fact.sequence,
            superseded=field["superseded"],
            commit_time=timestamp(fact.committed_at) if fact.committed_at else None,
            organization_ids=fact.body["members"],
            trace_parent=fact.trace_parent,
        )


def _claim(
    kind: ItemKind, field: Json, side: str, values: Json = MappingProxyType({})
) -> conflicts_pb2.Claim:
    return conflicts_pb2.Claim(
        value=value_to_message(kind, field["path"], load_value(field[side])),
        source=source_to_message(load_source(field[f"{side}_by"])),
        revision=field.get(f"{side}_rev", 0),
        values={path: value_to_message(kind, path, value) for path, value in load_values(values).items()},
    )
