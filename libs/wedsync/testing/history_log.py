"""What must hold for a wedding's log: its order, each of its decisions, and the state it folds to."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from wedsync.model.changes import Change, FieldState, ItemState, Outcome
from wedsync.model.codec import dump_change
from wedsync.model.items import LIFE
from wedsync.testing.history_records import Call, Entry
from wedsync.testing.history_rules import after, verdict

_NEW_VALUE = frozenset({Outcome.APPLIED, Outcome.MERGED})
_TOGETHER = frozenset({Outcome.MERGED, Outcome.SUPERSEDED})


class Timeline:
    """A wedding's log beside its calls: which change an entry is, and when it may have been decided."""

    def __init__(self, log: Sequence[Entry], calls: Sequence[Call]) -> None:
        self.calls = calls
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
        sent = next((c for c in self.sent.get(entry.change.change_id, ()) if is_same(entry, c)), None)
        if sent is None:
            return entry
        return replace(entry, change=replace(sent, source=entry.change.source))

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
        return self._item_at(entry.change.item_id, entry.sequence - 1)

    def states_between(self, item_id: str, low: int, high: int) -> list[ItemState | None]:
        """Return every state the item had from one sequence to another."""
        later = [state for sequence, state in self._states.get(item_id, ()) if low < sequence <= high]
        return [self._item_at(item_id, low), *later]

    def _item_at(self, item_id: str, sequence: int) -> ItemState | None:
        states = self._states.get(item_id, [])
        place = bisect_right(states, sequence, key=lambda known: known[0])
        return states[place - 1][1] if place else None


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


def wrong_log(timeline: Timeline) -> Iterator[str]:
    """Yield what is wrong with the log itself."""
    log = timeline.log
    for place, entry in enumerate(log, start=1):
        if entry.sequence != place:
            yield f"the log is not dense: place {place} holds sequence {entry.sequence}"
    yield from (
        f"{entry.change.change_id} at {entry.sequence} was applied twice"
        for entry in log
        if timeline.by_id[entry.change.change_id] is not entry
    )
    for earlier, later in pairwise(log):
        yield from _backwards(earlier, later)
    for entry in log:
        if not any(is_same(entry, change) for change in timeline.sent.get(entry.change.change_id, ())):
            yield f"{entry.change.change_id} at {entry.sequence} was never sent, or never with this content"
        yield from _misjudged(timeline.item_before(entry), entry)


def _backwards(earlier: Entry, later: Entry) -> Iterator[str]:
    times = earlier.result.committed_at, later.result.committed_at
    if times[0] is not None and times[1] is not None and times[1] < times[0]:
        yield f"commit time goes back at {later.sequence}"
    if earlier.epoch is not None and later.epoch is not None and later.epoch < earlier.epoch:
        yield f"the epoch falls from {earlier.epoch} to {later.epoch} at {later.sequence}"


def _misjudged(item: ItemState | None, entry: Entry) -> Iterator[str]:
    """Yield where the entry was not decided as the rules say."""
    rules, at = verdict(item, entry.change), f"{entry.change.change_id} at {entry.sequence}"
    if rules.refusal:
        yield f"{at} should have been refused: {rules.refusal}"
        return
    named = {result.path: result for result in entry.result.fields}
    if named.keys() != rules.fields.keys():
        yield f"{at} decides about {sorted(named)}, not about {sorted(rules.fields)}"
        return
    for path, result in named.items():
        if result.outcome not in rules.fields[path]:
            yield f"{at}: {path} is {result.outcome}, should be {' or '.join(sorted(rules.fields[path]))}"
        yield from _misstated(_state(item, path), entry, path)
    if item is not None and after(item, entry) == item:
        yield f"{at} is logged although it changes nothing"


def _misstated(state: FieldState | None, entry: Entry, path: str) -> Iterator[str]:
    result = next(result for result in entry.result.fields if result.path == path)
    new = result.outcome in _NEW_VALUE
    revision = entry.sequence if new else (state.revision if state else 0)
    if result.revision != revision:
        yield f"{path} at {entry.sequence} names revision {result.revision}, should be {revision}"
    previous = state.value if state else None
    if new and result.previous != previous:
        yield f"{path} at {entry.sequence} names {result.previous!r} as the value before, it was {previous!r}"


def _state(item: ItemState | None, path: str) -> FieldState | None:
    if item is None:
        return None
    return item.life if path == LIFE else item.fields.get(path)


def wrong_order(timeline: Timeline) -> Iterator[str]:
    """Yield where the log has another order than people must have seen: told before sent is before."""
    latest, last, told = -math.inf, "", _first_told(timeline.calls)
    for entry in timeline.log:
        change_id = entry.change.change_id
        if latest > told.get(change_id, math.inf):
            yield f"{last} was sent after {change_id} had been acknowledged, and stands before it"
        if timeline.invoked(entry) > latest:
            latest, last = timeline.invoked(entry), change_id
    yield from _swapped(timeline)


def _first_told(calls: Sequence[Call]) -> dict[str, float]:
    """Return when somebody was first told that a change is in the log."""
    told: dict[str, float] = {}
    for call in calls:
        for result in call.results or ():
            if result.sequence:
                told[result.change_id] = min(call.returned, told.get(result.change_id, math.inf))
    return told


def _swapped(timeline: Timeline) -> Iterator[str]:
    """Yield changes that were only ever sent together, and stand in another order than they were sent."""
    together: dict[str, set[tuple[str, ...]]] = {}
    for call in timeline.calls:
        ids = tuple(dict.fromkeys(change.change_id for change in call.changes))
        for change_id in ids:
            together.setdefault(change_id, set()).add(ids)
    for calls in {ids for known in together.values() if len(known) == 1 for ids in known}:
        places = [
            (timeline.by_id[c].sequence, c) for c in calls if c in timeline.by_id and len(together[c]) == 1
        ]
        yield from (
            f"{one} was sent before {other} in one call, and stands after it"
            for (first, one), (second, other) in pairwise(places)
            if first > second
        )


def wrong_state(timeline: Timeline, items: Mapping[str, ItemState]) -> Iterator[str]:
    """Yield where the final state is not what the log folds to."""
    folded = timeline.items()
    for item_id in {**folded, **items}:
        expected, found = folded.get(item_id), items.get(item_id)
        if expected is None or found is None:
            yield f"item {item_id} is {'missing' if found is None else 'in the state and not in the log'}"
            continue
        for path in {LIFE: 0, **expected.fields, **found.fields}:
            by_log, by_state = _shown(_state(expected, path)), _shown(_state(found, path))
            if by_log != by_state:
                yield f"{path} of item {item_id} is {by_state}, by the log it is {by_log}"


def _shown(state: FieldState | None) -> tuple[object, ...] | None:
    """Return what of a field survives every way it can be read by."""
    if state is None:
        return None
    held = sorted(state.collision.held_links) if state.collision else []
    collision = state.collision.sequence if state.collision else 0
    return state.value, state.revision, state.source, collision, held
