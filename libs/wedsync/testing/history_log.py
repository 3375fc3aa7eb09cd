"""What must hold for a wedding's log: its order, each of its decisions, and the state it folds to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from wedsync.model.changes import FieldState, ItemState, Outcome
from wedsync.model.items import LIFE
from wedsync.testing.history_records import Call, Entry
from wedsync.testing.history_rules import after, met
from wedsync.testing.history_timeline import Timeline, is_same

_NEW_VALUE = frozenset({Outcome.APPLIED, Outcome.MERGED})


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
        yield from _misjudged(timeline, entry)


def _backwards(earlier: Entry, later: Entry) -> Iterator[str]:
    times = earlier.result.committed_at, later.result.committed_at
    if times[0] is not None and times[1] is not None and times[1] < times[0]:
        yield f"commit time goes back at {later.sequence}"
    if earlier.epoch is None or later.epoch is None:
        return
    if later.epoch < earlier.epoch:
        yield f"the epoch falls from {earlier.epoch} to {later.epoch} at {later.sequence}"
    if later.epoch == earlier.epoch and later.owner != earlier.owner:
        yield f"two owners wrote in epoch {later.epoch}, the second one from {later.sequence} on"


def _misjudged(timeline: Timeline, entry: Entry) -> Iterator[str]:
    """Yield where the entry was not decided as the rules say."""
    item = met(timeline.item_before(entry), entry.change)
    rules = timeline.verdict_at(entry.sequence - 1, entry.change)
    at = f"{entry.change.change_id} at {entry.sequence}"
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
    for calls in {ids: None for known in together.values() if len(known) == 1 for ids in known}:
        logged = [timeline.by_id[c] for c in calls if c in timeline.by_id and len(together[c]) == 1]
        for first, second in pairwise(logged):
            # What had to be refused at first may have come in later.
            turned = first.sequence > second.sequence
            if turned and not timeline.verdict_at(second.sequence - 1, first.change).refusal:
                names = first.change.change_id, second.change.change_id
                yield f"{names[0]} was sent before {names[1]} in one call, and stands after it"


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
