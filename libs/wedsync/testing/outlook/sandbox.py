"""A mailbox and everything round it: who may call, who is told, and the hands of its people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wedsync.testing.oauth2 import REFRESH_TOKEN, Authority
from wedsync.testing.outlook import display, storage
from wedsync.testing.outlook.display import Prefer
from wedsync.testing.outlook.mailbox import CALENDAR, Key, Mailbox
from wedsync.testing.outlook.notifier import RETRY_SECONDS, Notifier
from wedsync.testing.outlook.rounds import Rounds
from wedsync.testing.outlook.shape import Json
from wedsync.testing.outlook.subscriptions import Subscription, Subscriptions
from wedsync.testing.outlook.traffic import Traffic

BASE = "/v1.0"
TOKEN = "sandbox-outlook-token"  # noqa: S105 - it opens nothing but the sandbox

STAYING = Prefer(immutable_ids=True, text=True)
"""How people's doings name events: by the ids that stay."""


@dataclass(slots=True, kw_only=True)
class Sandbox:
    """One mailbox. What people do here is told to the subscribers at once."""

    mailbox: Mailbox
    data: Path | None = None
    """The JSON file in which it is kept across restarts, refresh tokens included; subscriptions are not."""
    tokens: set[str] = field(default_factory=lambda: {TOKEN}, repr=False)
    authority: Authority = field(
        default_factory=lambda: Authority(revokes=False, refresh={REFRESH_TOKEN}), repr=False
    )
    """Gives tokens besides these, and with each a new refresh token beside the one before."""
    read_only: bool = False
    """Refuse every write with 403, as to an account that may only read."""
    retry_seconds: Sequence[float] = RETRY_SECONDS
    answer_seconds: float = 10.0
    traffic: Traffic = field(default_factory=Traffic)
    rounds: Rounds = field(init=False)
    notifier: Notifier = field(init=False)
    subscriptions: Subscriptions = field(init=False)

    def __post_init__(self) -> None:
        """Build what follows from the rest."""
        clock = self.mailbox.clock
        self.rounds = Rounds(self.mailbox)
        self.notifier = Notifier(clock, retry_seconds=self.retry_seconds, answer_seconds=self.answer_seconds)
        self.subscriptions = Subscriptions(clock=clock, notifier=self.notifier)
        storage.restore(self.data, self.mailbox, self.authority.refresh)
        self.authority.on_grant = self._keep

    def add(self, calendar: str = CALENDAR, **given: Any) -> str:
        """Let a person make an event, and return its id."""
        kept = self.mailbox.create(calendar, given)
        self.changed()
        return kept.event_id

    def change(self, event_id: str, **given: Any) -> None:
        """Let a person change an event, or an instance of a series."""
        self.mailbox.update(self._key(event_id), given)
        self.changed()

    def remove(self, event_id: str) -> None:
        """Let a person delete an event, or cancel an instance of a series."""
        self.mailbox.delete(self._key(event_id))
        self.changed()

    def move(self, event_id: str, calendar: str) -> None:
        """Let a person move an event to another calendar."""
        self.mailbox.calendars.setdefault(calendar, calendar)
        key = self._key(event_id)
        moves = self.mailbox.get(key).moves + 1
        self.mailbox.touch(key, calendar=calendar, moves=moves)
        self.changed()

    def touch(self, event_id: str, **changes: Any) -> None:
        """Change what only Outlook itself can, such as `is_cancelled` of an organizer's meeting."""
        self.mailbox.touch(self._key(event_id), **changes)
        self.changed()

    def events(self) -> list[Json]:
        """Return every event and series, with all its extended properties."""
        kept = self.mailbox.events.values()
        return [
            display.event(self.mailbox, Key(one.event_id), STAYING, sorted(one.properties)) for one in kept
        ]

    def changed(self) -> None:
        """Keep what changed and tell the subscribers."""
        fired = self.mailbox.take_fired()
        for subscription in self.subscriptions.alive():
            items = [
                self._item(subscription, what, kept.event_id, display.etag(kept))
                for what, kept in fired
                if subscription.concerns(what, kept.calendar)
            ]
            if items:
                self.notifier.send(subscription.address, items)
        if fired:
            self._keep()

    def _keep(self) -> None:
        storage.save(self.data, self.mailbox, self.authority.refresh)

    def _item(self, subscription: Subscription, what: str, event_id: str, etag: str) -> Json:
        prefer = Prefer(immutable_ids=subscription.immutable_ids)
        own = display.public_id(self.mailbox, Key(event_id), prefer)
        data = {"@odata.type": "#Microsoft.Graph.Event", "@odata.id": f"Users/me/Events/{own}", "id": own}
        shown = {"resource": f"Users/me/Events/{own}", "resourceData": {**data, "@odata.etag": etag}}
        return {**subscription.item(), "changeType": what, **shown}

    def _key(self, event_id: str) -> Key:
        return display.locate(self.mailbox, event_id)
