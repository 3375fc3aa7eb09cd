"""One Google account: its calendars, who may call, who watches, and what the people who use it do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wedsync.clock import Clock
from wedsync.testing.google_calendar.calendars import Calendar
from wedsync.testing.google_calendar.channels import Channels
from wedsync.testing.google_calendar.refusal import Refused, not_found
from wedsync.testing.google_calendar.storage import restore, save
from wedsync.testing.google_calendar.traffic import Traffic
from wedsync.testing.oauth2 import REFRESH_TOKEN, Authority

BASE = "/calendar/v3"
"""Where the API lies, as at Google's."""
TOKEN = "ya29.sandbox"  # noqa: S105 - the sandbox's own
CALENDAR = "wedding@group.calendar.google.com"


@dataclass
class Sandbox:
    """The account behind one simulator."""

    clock: Clock
    data: Path | None = None
    tokens: dict[str, bool] = field(default_factory=lambda: {TOKEN: True})
    """Access tokens; one that is False has expired."""
    authority: Authority = field(
        default_factory=lambda: Authority(rotates=False, refresh={REFRESH_TOKEN}), repr=False
    )
    """Gives tokens besides these; Google's refresh tokens stay as they are."""
    page_sizes: Sequence[int] = ()
    """How many events the pages of a list hold at most, in turn: a page may be short, or empty."""
    calendars: dict[str, Calendar] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)
    epoch: int = 1

    def __post_init__(self) -> None:
        """Make the account's calendar, and remember what was kept."""
        self.channels = Channels(self.clock)
        self.add_calendar(CALENDAR)
        for calendar in restore(self.data, self.clock):
            self.calendars[calendar.calendar_id] = calendar
            calendar.on_change = self._changed

    def add_calendar(self, calendar_id: str, *, time_zone: str = "Europe/Paris") -> Calendar:
        """Add a calendar to the account."""
        made = Calendar(calendar_id, self.clock, time_zone=time_zone, on_change=self._changed)
        self.calendars[calendar_id] = made
        return made

    def calendar(self, calendar_id: str) -> Calendar:
        """Return a calendar. Raises `Refused` where there is none."""
        found = self.calendars.get(CALENDAR if calendar_id == "primary" else calendar_id)
        if found is None:
            raise not_found()
        return found

    def authorize(self, header: str) -> None:
        """Return if the caller's token is valid now. Raises `Refused`."""
        scheme, _, token = header.partition(" ")
        valid = self.tokens.get(token) or token in self.authority.access
        if scheme.lower() != "bearer" or not valid:
            raise Refused(401, "authError", "Invalid Credentials")

    def forget_tokens(self) -> None:
        """Let every sync and page token be too old."""
        self.epoch += 1

    def _changed(self, calendar_id: str) -> None:
        save(self.data, self.calendars.values())
        self.channels.changed(calendar_id)
