"""What the gateway keeps, as values: links, shadows, intents, and what is still to be done."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from wedsync.model.items import FieldValue, ItemKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """How far a look at everything a vendor has, has come; `expected` is 0 where nobody knows."""

    started_at: datetime | None = None
    ended_at: datetime | None = None
    records: int = 0
    pages: int = 0
    expected: int = 0

    def remaining_seconds(self, now: datetime) -> int:
        """Return how long it goes on if it goes on like this; 0 where nobody knows or it is over."""
        if self.ended_at is not None or self.started_at is None or not self.records:
            return 0
        a_record = (now - self.started_at).total_seconds() / self.records
        return max(0, round((self.expected - self.records) * a_record))


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
    ended: bool = False
    """Unlinked, or its vendor disconnected: kept for its history only."""
    reason: str = ""
    created_at: datetime | None = None
    scanned_at: datetime | None = None
    deletes_believed_until: datetime | None = None
    """Until then many deletes at once are meant, as a person said."""
    push_reason: str = ""
    """Why the vendor does not tell us that something moved, where it could."""
    pushed_until: datetime | None = None
    """When the last of its push channels ends."""
    poll_seconds: float | None = None
    """The pause between two looks at present; None before the first."""
    backfill: Backfill = Backfill()
    account_version: int = 1
    """Rises with every change of the account's credentials or address."""

    @property
    def owner(self) -> Owner:
        """Whose work it is."""
        return Owner(integration_id=self.integration_id, vendor=self.vendor)

    @property
    def state(self) -> str:
        """Return how it is doing, in a word."""
        return "ended" if self.ended else "active" if self.active else "paused"


NOTHING = ""
"""What stands for an empty field where None has another meaning; no canonical value is empty text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One field as a vendor last showed or confirmed it, and the revision that corresponds to it.

    `sent`, where it is set, is the value we wrote and the vendor turned into `value` without a word:
    writing it again would change nothing, so it counts as delivered. It is NOTHING where we emptied the
    field and the vendor filled it in.
    """

    value: FieldValue
    revision: int
    sent: FieldValue = None

    def stands_for(self, value: FieldValue) -> bool:
        """Say whether this is what the vendor made of the value when we wrote it."""
        return self.sent is not None and self.sent == (NOTHING if value is None else value)


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
    expected: str | None = None
    """The record that people said the item is there already; None once any record was seen, too."""

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

    integrations: Collection[str] = ()
    vendors: Collection[str] = ()

    def __contains__(self, owner: Owner) -> bool:
        """Whether the owner is one of them."""
        return owner.integration_id in self.integrations or owner.vendor in self.vendors


NOBODY = Busy()
NO_OWNER = Owner(integration_id="00000000-0000-0000-0000-000000000000", vendor="")
"""Whose work it is that has lost its link."""
