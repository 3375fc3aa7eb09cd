"""What the store hands out: a wedding as people see it, and an entry of its log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from wedsync.model.changes import Change, ChangeResult


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
class Claim:
    """A fact in the outbox that this sweep has for itself, for a while."""

    wedding_id: str
    fact_id: str
    attempts: int
