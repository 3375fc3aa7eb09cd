"""What a conflict is, and how a collision becomes one. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from wedsync.model.changes import Source
from wedsync.model.ids import conflict_id
from wedsync.model.items import FieldValue, ItemKind


class State(StrEnum):
    """How far a conflict is."""

    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One side: the value it wants, and who wants it."""

    value: FieldValue
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Collision:
    """Two claims to one field, as the sync service logged them."""

    wedding_id: str
    sequence: int
    item_id: str
    item_kind: ItemKind
    path: str
    current: Claim
    proposed: Claim
    committed_at: datetime
    organization_ids: tuple[str, ...]
    trace_parent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A collision that waits for a decision, and the organizations that may see it."""

    conflict_id: str
    collision: Collision
    state: State


def opened(collisions: Iterable[Collision]) -> list[Conflict]:
    """Return a conflict for each collision; the same collision is always the same conflict."""
    return [
        Conflict(
            conflict_id=conflict_id(collision.wedding_id, collision.sequence, collision.path),
            collision=collision,
            state=State.OPEN,
        )
        for collision in collisions
    ]
