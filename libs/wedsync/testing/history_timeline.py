"""A wedding's log beside its calls: which change an entry is, what it met, when it may have been decided."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from wedsync.model.changes import Change, ItemState, Outcome
from wedsync.model.codec import dump_change
from wedsync.model.items import LIFE
from wedsync.testing.history_records import Call, Entry
from wedsync.testing.history_rules import PAUSED, Verdict, after, verdict

_TOGETHER = frozenset({Outcome.MERGED, Outcome.SUPERSEDED})


class Timeline:
    """One wedding's."""

    def __init__(self, wedding_id: str, log: Sequence[Entry], calls: Sequence[Call]) -> None:
        self._wedding_id, self.calls = wedding_id, calls
        self.sent: dict[str, list[Change]] = {}
        """By change id, every different content it was sent with."""
        self._invoked: dict[str, float] = {}
        for call in calls:
            for change in call.changes:
                self._note(change, call)
        self.log = [self._completed(entry) for entry in log]
        self.by_id = {entry.change.change_id: entry for entry in self.log}
        self._states: dict[str, list[tuple[int, ItemState]]] = {}
        self._fold()
        self._answers, self._reached = self._acknowledged()
        self._begins = list(accumulate((self.invoked(entry) for entry in self.log), max))

    def _note(self, change: Change, call: Call) -> None:
        first = self._invoked.get(change.change_id, math.inf)
        self._invoked[change.change_id] = min(first, call.invoked)
        known = self.sent.setdefault(change.change_id, [])
        if not any(same_content(change, other) for other in known):
            known.append(change)

    def _completed(self, entry: Entry) -> Entry:
        """Return the entry with what its author had seen, which a log read over the wire does not say."""
        known = self.sent.get(entry.change.change_id, ())
        possible = [change for change in known if is_same(entry, change)]
        exactly = [change for change in possible if same_content(entry.change, change)]
        for change in (*exactly, *possible):
            return replace(entry, change=replace(change, source=entry.change.source))
        return entry

    def _fold(self) -> None:
        for entry in self.log:
            states = self._states.setdefault(entry.change.item_id, [])
            states.append((entry.sequence, after(states[-1][1] if states else None, entry)))

    def _acknowledged(self) -> tuple[list[float], list[int]]:
        """Return when calls were answered, and how far the log had come by then at least."""
        answered = sorted(
            (call.returned, max((result.sequence for result in call.results), default=0))
            for call in self.calls
            if call.results is not None
        )
        return [returned for returned, _ in answered], list(accumulate((s for _, s in answered), max))

    def invoked(self, entry: Entry) -> float:
        """Return when the entry's change was first sent."""
        return self._invoked.get(entry.change.change_id, -math.inf)

    def known_by(self, moment: float) -> int:
        """Return the last sequence somebody had been told of before the moment."""
        answers = bisect_left(self._answers, moment)
        return self._reached[answers - 1] if answers else 0

    def possible_by(self, moment: float) -> int:
        """Return the last sequence there can have been at the moment."""
        return bisect_right(self._begins, moment)

    def items(self) -> dict[str, ItemState]:
        """Return what the whole log folds to."""
        return {item_id: states[-1][1] for item_id, states in self._states.items()}

    def item_before(self, entry: Entry) -> ItemState | None:
        """Return the item an entry met."""
        return self.item_at(entry.change.item_id, entry.sequence - 1)

    def item_at(self, item_id: str, sequence: int) -> ItemState | None:
        """Return the item as a sequence left it."""
        states = self._states.get(item_id, [])
        place = bisect_right(states, sequence, key=lambda known: known[0])
        return states[place - 1][1] if place else None

    def verdict_at(self, sequence: int, change: Change) -> Verdict:
        """Return what the rules say about a change after a sequence."""
        own = self.item_at(self._wedding_id, sequence)
        paused = own is not None and own.value(PAUSED) is not None
        return verdict(self.item_at(change.item_id, sequence), change, paused=paused)

    def moments(self, item_id: str, low: int, high: int) -> Iterator[int]:
        """Yield sequences from one to another, after each of which the rules may say something else."""
        yield low
        for known in {item_id: 0, self._wedding_id: 0}:
            yield from (sequence for sequence, _ in self._states.get(known, ()) if low < sequence <= high)


def same_content(one: Change, other: Change) -> bool:
    """Say whether both are the same change, in whatever lane and trace they travel."""
    return one is other or dump_change(one) == dump_change(other)


def is_same(entry: Entry, change: Change) -> bool:
    """Say whether the entry can be this change: its kind, its item and the values it names."""
    logged = entry.change
    if (logged.kind, logged.item_id) != (change.kind, change.item_id):
        return False
    return all(
        change.values.get(result.path) == result.proposed
        for result in entry.result.fields
        if result.path != LIFE and result.outcome not in _TOGETHER
    )
