"""What the gateway keeps, as values: links, shadows, intents, and what is still to be done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from wedsync.model.items import FieldValue, ItemKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An integration joined to a wedding."""

    link_id: str
    organization_id: str
    wedding_id: str
    integration_id: str
    vendor: str
    scope: Mapping[str, str]
    time_zone: str
    active: bool = True
    reason: str = ""
    created_at: datetime | None = None
    scanned_at: datetime | None = None
    push_reason: str = ""
    """Why the vendor does not tell us that something moved, where it could."""
    pushed_until: datetime | None = None
    """When the last of its push channels ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One field as a vendor last showed or confirmed it, and the revision that corresponds to it.

    `sent`, where it is set, is the value we wrote and the vendor turned into `value` without a word:
    writing it again would change nothing, so it counts as delivered.
    """

    value: FieldValue
    revision: int
    sent: FieldValue = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """What we know of one vendor record, per link. `generation` rises with each thing we learn."""

    link_id: str
    item_id: str
    kind: ItemKind
    record_id: str | None = None
    version: str = ""
    generation: int = 0
    gone: bool = False
    fields: Mapping[str, Shown] = field(default_factory=dict)

    @property
    def present(self) -> bool:
        """Whether the vendor has the record, as far as we know."""
        return self.record_id is not None and not self.gone


class IntentKind(StrEnum):
    """What an outbound write sets out to do."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """An outbound write, committed before it is sent, whose outcome is not known."""

    intent_id: str
    kind: IntentKind
    values: Mapping[str, Shown]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordKey:
    """One vendor record's place: everything about it is serialised by this key."""

    organization_id: str
    wedding_id: str
    link_id: str
    item_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose work a task is."""

    integration_id: str
    vendor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """Who has as much work under way as it may; nothing more of theirs is to be claimed."""

    integrations: Sequence[str] = ()
    vendors: Sequence[str] = ()


NOBODY = Busy()
NO_OWNER = Owner(integration_id="00000000-0000-0000-0000-000000000000", vendor="")
"""Whose work it is that has lost its link."""
