"""What other services must hear about a logged change, as it waits in the outbox. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from services.sync.disputes import collided, ended
from services.sync.wedding import LoggedChange, Wedding
from wedsync.model.changes import Priority
from wedsync.model.codec import dump_item, dump_source
from wedsync.model.ids import new_id
from wedsync.model.items import VENDOR_KINDS


class Destination(StrEnum):
    """Who is to hear a fact."""

    GATEWAY = "gateway"
    CONFLICTS = "conflicts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing one service must hear; handed over at least once."""

    fact_id: str
    wedding_id: str
    sequence: int
    destination: Destination
    body: Mapping[str, Any]
    """JSON-native: it is stored and crosses processes."""
    trace_parent: str
    priority: Priority = Priority.NORMAL
    """The lane it travels in."""
    committed_at: datetime | None = None
    """Set by the commit; None before."""


def facts_of(wedding: Wedding, logged: Sequence[LoggedChange]) -> tuple[Fact, ...]:
    """Return what must be told about the logged changes, in their order."""
    return tuple(fact for entry in logged for fact in _facts(wedding, entry))


def _facts(wedding: Wedding, entry: LoggedChange) -> Iterator[Fact]:
    if entry.item.kind not in VENDOR_KINDS:
        return  # a pause, say: no vendor keeps it, and nobody disagrees about it
    yield _fact(wedding, entry, Destination.GATEWAY, _commit_body(entry))
    fields, endings = list(collided(entry)), list(ended(entry))
    if fields or endings:
        body = {
            "item": entry.item.item_id,
            "kind": entry.item.kind.value,
            "members": list(wedding.member_ids),
            "fields": fields,
            "endings": endings,
        }
        yield _fact(wedding, entry, Destination.CONFLICTS, body)


def _fact(wedding: Wedding, entry: LoggedChange, destination: Destination, body: Mapping[str, Any]) -> Fact:
    return Fact(
        fact_id=new_id(),
        wedding_id=wedding.wedding_id,
        sequence=entry.result.sequence,
        destination=destination,
        body=body,
        trace_parent=entry.change.trace_parent,
        priority=entry.change.priority,
    )


def _commit_body(entry: LoggedChange) -> dict[str, Any]:
    return {
        "change": entry.change.change_id,
        "item": dump_item(entry.item),
        "by": dump_source(entry.change.source),
        "priority": entry.change.priority.value,
    }
