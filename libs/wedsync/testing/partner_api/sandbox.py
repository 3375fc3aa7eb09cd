"""One partner's system: its collections, who may call, and whom it tells."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from wedsync.clock import Clock
from wedsync.testing.partner_api.collection import Collection
from wedsync.testing.partner_api.deliveries import Deliveries

BASE = "/api"
TOKEN = "partner-sandbox-token"  # noqa: S105 - the sandbox's own
WEBHOOK_SECRET = "whsec_cGFydG5lci1zYW5kYm94LXdlYmhvb2stc2VjcmV0"  # noqa: S105 - as above
COLLECTION = "wedding"


@dataclass
class Sandbox:
    """The account behind one simulator."""

    clock: Clock
    token: str = TOKEN
    webhook_secret: str = WEBHOOK_SECRET
    answer_delay_ms: float = 0.0
    """How long each answer of the API takes at least."""
    opens_collections: bool = False
    """Whether a collection that nobody has heard of is there as soon as somebody asks for it."""
    collections: dict[str, Collection] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    """How often each method was called, by its name and what it was called on."""

    def __post_init__(self) -> None:
        """Make the first collection."""
        self.deliveries = Deliveries(self.clock, self.webhook_secret)
        self.add(COLLECTION)

    def add(self, collection_id: str) -> Collection:
        """Add a collection."""
        made = Collection(collection_id, self.clock, on_change=self.deliveries.send)
        self.collections[collection_id] = made
        return made

    def forget_cursors(self) -> None:
        """Let every cursor given so far be too old."""
        for collection in self.collections.values():
            collection.forget_cursors()
