"""What a conflict is, how a collision becomes one, and what may be decided about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from wedsync.model.changes import Source
from wedsync.model.ids import conflict_id
from wedsync.model.items import FieldValue, ItemKind


class State(StrEnum):
    """How far a conflict is."""

    OPEN = "open"
    DECIDED = "decided"
    RESOLVED = "resolved"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One side: the value it wants, and who wants it."""

    value: FieldValue
    source: Source
    revision: int = 0
    """The wedding's sequence at which it was set or proposed; 0 where that was not told."""
    values: Mapping[str, FieldValue] = field(default_factory=dict)
    """What else it wants: the edited fields of an item that the other side deleted."""


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
    as_of_sequence: int = 0
    """When its claims were told; later ones replace earlier ones."""
    trace_parent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The end of a collision, as the sync service logged it. It may be told before the collision is."""

    wedding_id: str
    sequence: int
    path: str
    final: Claim
    state: State
    ended_at: datetime
    organization_ids: tuple[str, ...]
    trace_parent: str = ""


class Choice(StrEnum):
    """Which value a decision is for."""

    CURRENT = "current"
    PROPOSED = "proposed"
    VALUE = "value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How a conflict was decided: by a person, or by a policy."""

    choice: Choice
    value: FieldValue
    source: Source | None = None
    policy: str = ""
    policy_version: int = 0
    reason: str = ""
    request_id: str | None = None
    """The person's request; None for a policy."""
    decided_at: datetime | None = None
    """None until it is kept."""

    def same_as(self, other: Decision) -> bool:
        """Say whether both are one request: the same id, for the same choice.

        The value counts only where it was given: a side's value may have changed since.
        """
        same = self.request_id is not None and self.request_id == other.request_id
        chose = self.choice is other.choice
        return same and chose and (self.choice is not Choice.VALUE or self.value == other.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A collision, the organizations that may see it, and how it was decided and ended, if it was."""

    conflict_id: str
    collision: Collision
    state: State
    decision: Decision | None = None
    trouble: str = ""
    """Why its decision could not be carried out."""
    final: Claim | None = None
    ended_at: datetime | None = None


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
