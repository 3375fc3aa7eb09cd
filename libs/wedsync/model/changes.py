"""Changes to a wedding's items, the state they meet, and what became of each field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from wedsync.model.items import FieldValue, ItemKind


class ChangeKind(StrEnum):
    """What a change does to its item."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    RESTORE = "restore"


class Outcome(StrEnum):
    """What became of a field, or of a change as a whole."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    MERGED = "merged"
    CONFLICTED = "conflicted"
    SUPERSEDED = "superseded"
    REJECTED = "rejected"
    DUPLICATE = "duplicate"


class Priority(StrEnum):
    """The lane a change travels in; derived by the server, most urgent first."""

    EMERGENCY = "emergency"
    CRITICAL = "critical"
    NORMAL = "normal"
    BULK = "bulk"


PAYMENT_PROCESSOR = "payment_processor"
CATEGORIES = (PAYMENT_PROCESSOR, "crm", "calendar", "messaging")
"""Kinds of vendor systems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who set a value: an organization's person or service, and the vendor record it came through."""

    organization_id: str
    actor: str
    link_id: str | None = None
    vendor: str | None = None
    record_id: str | None = None
    category: str | None = None
    """What kind of system the vendor's is: one of `CATEGORIES`."""
    event_id: str | None = None
    """The webhook by which the vendor told us."""
    policy: str | None = None
    """What decided for the value where no person did: `name@version`, or a rewind."""

    def same_record(self, other: Source) -> bool:
        """Say whether both are the same record in the same vendor's system."""
        return self.link_id is not None and (self.link_id, self.record_id) == (other.link_id, other.record_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A proposal to create, update, delete or restore one item.

    `base` is, per field, the revision its author had seen; a field missing there takes
    `default_base`; None means the author insists whatever the present value is. `base_values` holds,
    for sets and lines of text, the value the author had seen: it lets both sides' edits be merged.
    """

    change_id: str
    item_id: str
    item_kind: ItemKind
    kind: ChangeKind
    source: Source
    values: Mapping[str, FieldValue] = field(default_factory=dict)
    base: Mapping[str, int] = field(default_factory=dict)
    default_base: int | None = None
    base_values: Mapping[str, FieldValue] = field(default_factory=dict)
    priority: Priority = Priority.NORMAL
    trace_parent: str = ""
    """W3C traceparent of the edit this change carries on."""

    def base_of(self, path: str) -> int | None:
        """Return the revision of the field that the author had seen, None for none."""
        return self.base.get(path, self.default_base)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collision:
    """An undecided disagreement about one field: its current value stays and is held for the parties."""

    sequence: int
    proposed: FieldValue
    proposed_by: Source
    current_by: Source
    also_held: tuple[str, ...] = ()
    """Links of earlier parties to the same disagreement."""

    @property
    def held_links(self) -> frozenset[str]:
        """The links whose vendors are party to it and are not written to until it is decided."""
        parties = {s.link_id for s in (self.proposed_by, self.current_by) if s.link_id}
        return frozenset(parties | set(self.also_held))


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldState:
    """A field's canonical value, since which sequence, and by whom."""

    value: FieldValue
    revision: int
    source: Source
    collision: Collision | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemState:
    """One canonical item. `life` is the field `deleted_at`: its value is True once deleted."""

    item_id: str
    kind: ItemKind
    life: FieldState
    fields: Mapping[str, FieldState] = field(default_factory=dict)

    @property
    def deleted(self) -> bool:
        """Whether the item is a tombstone."""
        return self.life.value is True

    def value(self, path: str) -> FieldValue:
        """Return the field's value, None where it was never set."""
        state = self.fields.get(path)
        return state.value if state else None


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldResult:
    """What became of one proposed field value."""

    path: str
    outcome: Outcome
    revision: int
    """The revision the field has now."""
    previous: FieldValue = None
    proposed: FieldValue = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeResult:
    """What became of a change. `sequence` is 0 where nothing was logged."""

    change_id: str
    outcome: Outcome
    sequence: int = 0
    fields: tuple[FieldResult, ...] = ()
    reason: str = ""
    committed_at: datetime | None = None
