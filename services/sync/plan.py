"""What one change means for one item: which fields take the new value, which collide, and why. Pure.

The rule of collision (design of the merge): a field collides only if its revision is newer than the
change's base for that field and the values differ, and the present value did not come from the same
vendor record. On a collision the present value stays, the rest of the change goes through, and the
field is held for the vendors involved until somebody who has seen both sides decides.

Sets and lines of text are merged instead, where the author says what it had seen and the edits allow
it. Facts about money are the other exception: what a payment processor said collides with whatever
anybody else says, seen or not, so that it is decided and never just overwritten.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from wedsync.model.changes import (
    PAYMENT_PROCESSOR,
    Change,
    ChangeKind,
    Collision,
    FieldResult,
    FieldState,
    ItemState,
    Outcome,
    Source,
)
from wedsync.model.items import CATALOGUE, LIFE, FieldValue, ItemKind
from wedsync.model.merge import MERGED_TYPES, Unmergeable, merged

UNKNOWN_ITEM, ITEM_DELETED, KIND_DIFFERS = "UNKNOWN_ITEM", "ITEM_DELETED", "ITEM_KIND_DIFFERS"

# The strongest first: what a change as a whole is called when its fields fared differently.
_STRENGTH = (
    Outcome.CONFLICTED,
    Outcome.MERGED,
    Outcome.APPLIED,
    Outcome.REJECTED,
    Outcome.SUPERSEDED,
    Outcome.UNCHANGED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a change does. `item` is the state it leaves, None where nothing is to be logged."""

    outcome: Outcome
    fields: tuple[FieldResult, ...] = ()
    item: ItemState | None = None
    reason: str = ""


def plan(item: ItemState | None, change: Change, sequence: int) -> Plan:
    """Decide what the change means at this sequence. Does no I/O, so a test is one call."""
    if item is None:
        return _create(change, sequence) if change.kind is ChangeKind.CREATE else _rejected(UNKNOWN_ITEM)
    if change.values and change.item_kind is not item.kind:
        return _rejected(KIND_DIFFERS)
    change = replace(change, item_kind=item.kind)  # who deletes or restores need not have said it
    match change.kind:
        case ChangeKind.DELETE:
            return _delete(item, change, sequence)
        case ChangeKind.RESTORE:
            return _restore(item, change, sequence)
        case ChangeKind.CREATE if item.deleted and not _life_collides(item, change):
            return _update(_alive(item, change, sequence), change, sequence, revived=True)
        case _ if item.deleted:
            return _edit_of_deleted(item, change, sequence)
        case _:
            return _update(item, change, sequence)


def _rejected(reason: str) -> Plan:
    return Plan(outcome=Outcome.REJECTED, reason=reason)


def _create(change: Change, sequence: int) -> Plan:
    fields = {
        path: FieldState(value=value, revision=sequence, source=change.source)
        for path, value in change.values.items()
        if value is not None
    }
    item = ItemState(
        item_id=change.item_id,
        kind=change.item_kind,
        life=FieldState(value=None, revision=sequence, source=change.source),
        fields=fields,
    )
    results = tuple(
        FieldResult(path=path, outcome=Outcome.APPLIED, revision=sequence, proposed=state.value)
        for path, state in fields.items()
    )
    return Plan(outcome=Outcome.APPLIED, fields=results, item=item)


def _update(item: ItemState, change: Change, sequence: int, *, revived: bool = False) -> Plan:
    states, results, touched = dict(item.fields), [], revived
    for path, value in change.values.items():
        result, state = _field(item.fields.get(path), path, value, change, sequence)
        results.append(result)
        if state is not None:
            states[path], touched = state, True
    outcome = Outcome.APPLIED if revived else _strongest(result.outcome for result in results)
    return Plan(
        outcome=outcome,
        fields=tuple(results),
        item=replace(item, fields=states) if touched else None,
    )


def _field(
    state: FieldState | None, path: str, value: FieldValue, change: Change, sequence: int
) -> tuple[FieldResult, FieldState | None]:
    """Return what becomes of one field and its new state, None where it stays untouched."""
    current = state or FieldState(value=None, revision=0, source=change.source)
    if value == current.value:
        return _equal(current, path, value, change, sequence)
    if (together := _together(current, path, value, change)) is not None:
        return _merged(current, path, together.value, change, sequence)
    if _collides(current, path, change):
        return _collided(current, path, value, change.source, sequence)
    applied = FieldState(
        value=value,
        revision=sequence,
        source=_author(current.collision, value, change.source),
        collision=_still_open(current, path, value, change),
    )
    return _result(path, Outcome.APPLIED, sequence, current.value, value), applied


@dataclass(frozen=True, slots=True)
class _Together:
    """A merged value, which may be empty."""

    value: FieldValue


def _together(current: FieldState, path: str, value: FieldValue, change: Change) -> _Together | None:
    """Return what both edits make together, None where they cannot be merged or nothing else was edited."""
    if path not in change.base_values or CATALOGUE[change.item_kind][path].type not in MERGED_TYPES:
        return None
    seen = change.base_values[path]
    if seen == current.value:
        return None
    try:
        return _Together(merged(CATALOGUE[change.item_kind][path].type, seen, current.value, value))
    except Unmergeable:
        return None


def _merged(
    current: FieldState, path: str, together: FieldValue, change: Change, sequence: int
) -> tuple[FieldResult, FieldState | None]:
    if together == current.value:
        reason = "everything in it is there already"
        return _result(path, Outcome.SUPERSEDED, current.revision, together, together, reason), None
    state = FieldState(
        value=together,
        revision=sequence,
        # No vendor's record shows the merged value yet, so none is exempt from colliding with it.
        source=replace(change.source, record_id=None),
        collision=_still_open(current, path, together, change),
    )
    reason = f"together with the edit at {current.revision}"
    return _result(path, Outcome.MERGED, sequence, current.value, together, reason), state


def _author(collision: Collision | None, value: FieldValue, source: Source) -> Source:
    """Return whose value it is: who decides for a side does not become its author."""
    decided = collision is not None and source.link_id is None and value == collision.proposed
    return collision.proposed_by if collision is not None and decided else source


def _equal(
    current: FieldState, path: str, value: FieldValue, change: Change, sequence: int
) -> tuple[FieldResult, FieldState | None]:
    """An equal value changes nothing, but it can end a disagreement, and that is logged."""
    if current.collision is None or not _ends(current.collision, path, value, change):
        return _result(path, Outcome.UNCHANGED, current.revision, current.value, current.value), None
    settled = FieldState(value=current.value, revision=sequence, source=current.source)
    return _result(
        path, Outcome.APPLIED, sequence, current.value, current.value, "the collision is over"
    ), settled


def _collided(
    current: FieldState, path: str, value: FieldValue, source: Source, sequence: int
) -> tuple[FieldResult, FieldState | None]:
    reason = f"set to another value at {current.revision} by {current.source.vendor or current.source.actor}"
    result = _result(path, Outcome.CONFLICTED, current.revision, current.value, value, reason)
    if _told_already(current.collision, value, source):
        return result, None
    return result, replace(current, collision=_collision(current, value, source, sequence))


def _told_already(collision: Collision | None, value: FieldValue, source: Source) -> bool:
    """Say whether the same vendor record only repeats its side of an open disagreement."""
    return collision is not None and collision.proposed == value and collision.proposed_by.same_record(source)


def _collision(current: FieldState, proposed: FieldValue, source: Source, sequence: int) -> Collision:
    earlier = current.collision.held_links if current.collision else frozenset()
    return Collision(
        sequence=sequence,
        proposed=proposed,
        proposed_by=source,
        current_by=current.source,
        also_held=tuple(sorted(earlier)),
    )


def _collides(current: FieldState, path: str, change: Change) -> bool:
    if current.source.same_record(change.source):
        return False
    base = _base(change, path)
    if _is_fact(current, path, change.item_kind):
        # Only a decision, which names the collision it is about, may overrule the processor.
        return current.collision is None or base is None or base < current.collision.sequence
    return base is not None and current.revision > base


def _is_fact(current: FieldState, path: str, kind: ItemKind) -> bool:
    """Say whether the value is what a payment processor says happened with the money."""
    spec = CATALOGUE[kind].get(path)
    return spec is not None and spec.fact and current.source.category == PAYMENT_PROCESSOR


def _base(change: Change, path: str) -> int | None:
    base = change.base_of(path)
    # Who creates has seen nothing: what is there already is newer.
    return 0 if base is None and change.kind is ChangeKind.CREATE else base


def _still_open(current: FieldState, path: str, value: FieldValue, change: Change) -> Collision | None:
    collision = current.collision
    if collision is None or _ends(collision, path, value, change):
        return None
    if collision.proposed_by.same_record(change.source):
        return replace(collision, proposed_by=change.source)
    return replace(collision, current_by=change.source)


def _ends(collision: Collision, path: str, value: FieldValue, change: Change) -> bool:
    """Say whether this change settles the collision.

    A caller who names a base at or after the collision has seen both sides, and one who names none
    insists. A vendor's record can never have seen it; it ends one only by giving in.
    """
    if change.source.link_id is not None:
        return value != collision.proposed and collision.proposed_by.same_record(change.source)
    base = change.base_of(path)
    return base is None or base >= collision.sequence


def _delete(item: ItemState, change: Change, sequence: int) -> Plan:
    if item.deleted:
        return _life_stays(item, change, sequence)
    newer = sorted(path for path, state in item.fields.items() if _collides(state, path, change))
    if newer or _life_collides(item, change):
        reason = f"newer edits of {', '.join(newer)}" if newer else "restored since"
        return _life_collision(item, change, sequence, proposed=True, reason=reason)
    life = FieldState(value=True, revision=sequence, source=change.source)
    result = _result(LIFE, Outcome.APPLIED, sequence, None, True)
    return Plan(outcome=Outcome.APPLIED, fields=(result,), item=replace(item, life=life))


def _restore(item: ItemState, change: Change, sequence: int) -> Plan:
    if not item.deleted:
        return _life_stays(item, change, sequence)
    if _life_collides(item, change):
        return _life_collision(item, change, sequence, proposed=None, reason="deleted since")
    result = _result(LIFE, Outcome.APPLIED, sequence, True, None)
    return Plan(outcome=Outcome.APPLIED, fields=(result,), item=_alive(item, change, sequence))


def _edit_of_deleted(item: ItemState, change: Change, sequence: int) -> Plan:
    """An edit collides with a delete its author had not seen; whoever had seen it must restore first."""
    if not _life_collides(item, change):
        return _rejected(ITEM_DELETED)
    collision = _life_collision(
        item, change, sequence, proposed=None, reason="the item was deleted meanwhile"
    )
    kept = tuple(_lost(item, path, value) for path, value in change.values.items())
    return replace(collision, fields=collision.fields + kept)


def _life_stays(item: ItemState, change: Change, sequence: int) -> Plan:
    """What is wanted is so already; but saying so can decide between life and death."""
    result, life = _equal(item.life, LIFE, item.life.value, change, sequence)
    return Plan(
        outcome=result.outcome, fields=(result,), item=replace(item, life=life) if life is not None else None
    )


def _lost(item: ItemState, path: str, value: FieldValue) -> FieldResult:
    """A value that the delete kept out: in the log it is not lost."""
    state = item.fields.get(path)
    revision, current = (state.revision, state.value) if state else (0, None)
    if value == current:
        return _result(path, Outcome.UNCHANGED, revision, current, value)
    return _result(path, Outcome.CONFLICTED, revision, current, value, ITEM_DELETED)


def _life_collides(item: ItemState, change: Change) -> bool:
    return _collides(item.life, LIFE, change)


def _life_collision(
    item: ItemState, change: Change, sequence: int, *, proposed: FieldValue, reason: str
) -> Plan:
    result = _result(LIFE, Outcome.CONFLICTED, item.life.revision, item.life.value, proposed, reason)
    if _told_already(item.life.collision, proposed, change.source):
        return Plan(outcome=Outcome.CONFLICTED, fields=(result,))
    collision = _collision(item.life, proposed, change.source, sequence)
    return Plan(
        outcome=Outcome.CONFLICTED,
        fields=(result,),
        item=replace(item, life=replace(item.life, collision=collision)),
    )


def _alive(item: ItemState, change: Change, sequence: int) -> ItemState:
    return replace(item, life=FieldState(value=None, revision=sequence, source=change.source))


def _result(
    path: str, outcome: Outcome, revision: int, previous: FieldValue, proposed: FieldValue, reason: str = ""
) -> FieldResult:
    return FieldResult(
        path=path, outcome=outcome, revision=revision, previous=previous, proposed=proposed, reason=reason
    )


def _strongest(outcomes: Iterable[Outcome]) -> Outcome:
    present = set(outcomes)
    return next((outcome for outcome in _STRENGTH if outcome in present), Outcome.UNCHANGED)
