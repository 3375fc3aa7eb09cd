"""A wedding's past in memory, as `HistoryStore` would read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from services.sync.filters import EVERYBODY, SourceFilter
from services.sync.rewind import Compensations, Rewinding, Versions, author_of, compensations
from services.sync.wedding import KnownChange, Wedding
from tests.unit.sync.builders import PLANNER, a_wedding
from wedsync.model.changes import Change, ChangeResult, ItemState
from wedsync.model.ids import new_id
from wedsync.model.items import FieldValue

Visible = Mapping[str, Mapping[str, FieldValue]]


@dataclass
class Past:
    """A wedding fed with changes, which remembers every state it was in."""

    wedding: Wedding = field(default_factory=a_wedding)
    known: dict[str, KnownChange] = field(default_factory=dict)
    states: list[Mapping[str, ItemState]] = field(default_factory=lambda: [{}])
    """By sequence."""

    def take(self, *changes: Change) -> list[ChangeResult]:
        """Plan and commit a batch; return what became of each change."""
        batch = self.wedding.plan(changes, self.known)
        for entry in batch.logged:
            self.states.append({**self.states[-1], entry.item.item_id: entry.item})
        self.wedding, self.known = self.wedding.after(batch), {**self.known, **batch.remember}
        return list(batch.results)

    def versions(self, asked: Rewinding) -> list[Versions]:
        """Return what changed since then, as it was from then to now."""
        now = self.states[asked.now]
        return [
            Versions(now=item, earlier=tuple(self._earlier(item_id, asked)))
            for item_id, item in now.items()
            if item != self.states[asked.then].get(item_id)
        ]

    def rewind(
        self, then: int, *, whose: SourceFilter = EVERYBODY, now: int | None = None
    ) -> tuple[Compensations, list[ChangeResult]]:
        """Rewind as the service does, of a state that may be older than the present one."""
        asked = Rewinding(
            request_id=new_id(),
            then=then,
            now=self.wedding.sequence if now is None else now,
            author=author_of(PLANNER, then),
            whose=whose,
        )
        planned = compensations(self.versions(asked), asked)
        return planned, self.take(*planned.changes)

    def visible(self, sequence: int = -1) -> dict[str, dict[str, FieldValue]]:
        """Return the values people saw after a sequence, by item."""
        return visible(self.states[sequence].values())

    def _earlier(self, item_id: str, asked: Rewinding) -> Iterator[ItemState]:
        last = asked.then + 1 if asked.of_everybody else asked.now
        return (state[item_id] for state in self.states[asked.then : last] if item_id in state)


def visible(items: Iterable[ItemState]) -> dict[str, dict[str, FieldValue]]:
    """Return the values people see, by item."""
    return {
        item.item_id: {path: s.value for path, s in item.fields.items() if s.value is not None}
        for item in items
        if not item.deleted
    }
