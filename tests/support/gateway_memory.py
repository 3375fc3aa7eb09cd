"""The gateway's tables in memory, for the stores of `gateway_fakes`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.gateway.channels import Kept
from services.gateway.records import Intent, Link, RecordKey, Shadow
from services.gateway.store.inbound import Activity, Arrival, Cause, Endpoint
from services.gateway.store.integration_rows import Integration
from services.gateway.store.leases import Held
from services.gateway.vendors.port import Account
from wedsync.errors import StaleRevision
from wedsync.model.changes import ChangeResult, ItemState
from wedsync.model.items import ItemKind

Place = tuple[str, str]
"""Link and item."""


@dataclass(kw_only=True)
class DueRow:
    """One delivery."""

    delivery_id: str
    key: RecordKey
    kind: ItemKind
    sequence: int
    change_id: str | None
    state: str = "due"
    reason: str = ""
    attempts: int = 0
    seconds: float = 0.0


@dataclass(kw_only=True)
class IntentRow:
    """One intent and what became of it."""

    place: Place
    intent: Intent
    state: str = "open"


@dataclass(kw_only=True)
class ActivityRow:
    """One translated change and what became of it."""

    activity: Activity
    generation: int
    cause: Cause
    state: str = "pending"
    result: ChangeResult | None = None
    seconds: float = 0.0
    reason: str = ""
    agreed: bool = False
    """Whether its record showed by the answer what the wedding has."""


@dataclass
class Memory:
    """The gateway's tables."""

    links: dict[str, Link] = field(default_factory=dict)
    integrations: dict[str, tuple[Integration, Account]] = field(default_factory=dict)
    requests: dict[str, str] = field(default_factory=dict)
    endpoints: dict[bytes, Endpoint] = field(default_factory=dict)
    endpoint_keys: dict[str, str] = field(default_factory=dict)
    shadows: dict[Place, Shadow] = field(default_factory=dict)
    leases: dict[Place, str] = field(default_factory=dict)
    intents: list[IntentRow] = field(default_factory=list)
    activities: list[ActivityRow] = field(default_factory=list)
    projection: dict[str, tuple[int, ItemState]] = field(default_factory=dict)
    deliveries: dict[str, DueRow] = field(default_factory=dict)
    webhooks: list[Arrival] = field(default_factory=list)
    finished: dict[str, tuple[str, str]] = field(default_factory=dict)
    cursors: dict[str, Mapping[str, Any] | None] = field(default_factory=dict)
    channels: dict[str, Kept] = field(default_factory=dict)
    midway: dict[str, bool] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    polls: list[dict[str, Any]] = field(default_factory=list)

    def save(self, held: Held, shadow: Shadow) -> None:
        """Compare and set."""
        place = place_of(held.key)
        if self.leases.get(place) != held.token or self.shadows[place].generation != held.shadow.generation:
            raise StaleRevision("The vendor record's shadow moved on.")
        others = [s for at, s in self.shadows.items() if at[0] == place[0] and at != place]
        if shadow.record_id is not None and shadow.record_id in {other.record_id for other in others}:
            raise AssertionError(f"two items of one link claim the record {shadow.record_id}")
        self.shadows[place] = shadow

    def confirm(self, intent_ids: Sequence[str]) -> None:
        """Close intents."""
        for row in self.intents:
            if row.intent.intent_id in intent_ids:
                row.state = "confirmed"

    def release(self, held: Held) -> None:
        """Give a record back."""
        if self.leases.get(place_of(held.key)) == held.token:
            del self.leases[place_of(held.key)]

    def is_told(self, change_id: str, key: RecordKey) -> bool:
        """Say whether a record shows a commit already, and nothing else is open for it."""
        open_ones = [r for r in self.deliveries.values() if r.key == key and r.state in {"due", "parked"}]
        return not open_ones and any(
            row.agreed
            for row in self.activities
            if (row.activity.change.change_id, row.activity.link_id) == (change_id, key.link_id)
        )

    def due(self, key: RecordKey) -> list[DueRow]:
        """Return what is due for the record."""
        return [row for row in self.deliveries.values() if row.key == key and row.state == "due"]

    def reasons(self) -> list[str]:
        """Return why the deliveries are as they are."""
        return [row.reason for row in self.deliveries.values()]


def place_of(key: RecordKey) -> Place:
    """Return where the record is kept."""
    return key.link_id, key.item_id
