"""Which entries of a log somebody asks for, and whose values. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from services.sync.records import LogEntry
from wedsync.model.changes import Outcome, Source
from wedsync.model.items import ItemKind


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFilter:
    """Whose; what is None fits everybody."""

    link_id: str | None = None
    vendor: str | None = None
    actor: str | None = None

    def fits(self, source: Source) -> bool:
        """Say whether the source is meant."""
        return (
            self.link_id in {None, source.link_id}
            and self.vendor in {None, source.vendor}
            and self.actor in {None, source.actor}
        )


EVERYBODY = SourceFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which entries; what is not set fits all. The first three the database knows by itself."""

    item_id: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    """Entries before this time."""
    change_id: str | None = None
    path: str | None = None
    item_kind: ItemKind | None = None
    source: SourceFilter = EVERYBODY
    outcomes: frozenset[Outcome] = field(default_factory=frozenset)

    @property
    def looks_inside(self) -> bool:
        """Whether entries must be opened to know if they fit."""
        inside = (self.change_id, self.path, self.item_kind, self.outcomes)
        return any(inside) or self.source != EVERYBODY

    def fits(self, entry: LogEntry) -> bool:
        """Say whether what stands inside an entry is what was asked for."""
        change, result = entry.change, entry.result
        return (
            self.change_id in {None, change.change_id}
            and self.item_kind in {None, change.item_kind}
            and self.source.fits(change.source)
            and (self.path is None or any(field.path == self.path for field in result.fields))
            and (not self.outcomes or not self.outcomes.isdisjoint(_outcomes(entry)))
        )


EVERYTHING = LogFilter()


def _outcomes(entry: LogEntry) -> frozenset[Outcome]:
    return frozenset([entry.result.outcome, *(field.outcome for field in entry.result.fields)])
