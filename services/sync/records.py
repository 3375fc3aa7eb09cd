"""What the stores hand out: a wedding as people see it, and stretches of its items and its log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from wedsync.model.changes import Change, ChangeResult, ItemState

Moment = int | datetime
"""A place in a wedding's history: after a sequence, or at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeddingRecord:
    """A wedding without its items."""

    wedding_id: str
    title: str
    day: date | None
    time_zone: str
    members: tuple[tuple[str, str], ...]
    """Organization and role, in the organizations' order."""
    sequence: int = 0
    committed_at: datetime | None = None
    created_at: datetime | None = None
    paused: str | None = None
    """Why it is paused, None where it is not."""

    def same_content(self, other: WeddingRecord) -> bool:
        """Say whether both describe the same wedding, whatever happened to it since."""
        return (self.title, self.day, self.time_zone, self.members) == (
            other.title,
            other.day,
            other.time_zone,
            other.members,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One logged change and what became of it; the result names sequence and time."""

    change: Change
    result: ChangeResult


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """A stretch of a log that was looked through, and what in it was asked for."""

    entries: Sequence[LogEntry]
    next_after: int = 0
    """Where to go on, 0 at the end of the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemPage:
    """A stretch of a wedding's items."""

    items: Sequence[ItemState]
    next_after: str = ""
    """The id to go on after, empty at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A fact in the outbox that this sweep has for itself, for a while."""

    wedding_id: str
    fact_id: str
    attempts: int
