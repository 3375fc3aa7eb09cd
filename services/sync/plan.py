"""What one change means for one item: what it creates, edits, deletes or restores, and why. Pure.

Each field is settled by itself (`field_plan`): where one collides, the rest of the change goes through.
An item's life is a field too: a delete collides with any field newer than its base, an edit with a
newer delete.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from services.sync.field_plan import collides, collision_with, result_of, said_again, settle, told_already
from wedsync.model.changes import Change, ChangeKind, FieldResult, FieldState, ItemState, Outcome
from wedsync.model.items import LIFE, FieldValue

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
        result, state = settle(item.fields.get(path), path, value, change, sequence)
        results.append(result)
        if state is not None:
            states[path], touched = state, True
    outcome = Outcome.APPLIED if revived else _strongest(result.outcome for result in results)
    return Plan(
        outcome=outcome,
        fields=tuple(results),
        item=replace(item, fields=states) if touched else None,
    )


def _delete(item: ItemState, change: Change, sequence: int) -> Plan:
    if item.deleted:
        return _life_stays(item, change, sequence)
    newer = sorted(path for path, state in item.fields.items() if _is_newer(item, path, state, change))
    if newer or _life_collides(item, change):
        reason = f"newer edits of {', '.join(newer)}" if newer else "restored since"
        return _life_collision(item, change, sequence, proposed=True, reason=reason)
    life = FieldState(value=True, revision=sequence, source=change.source)
    result = result_of(LIFE, Outcome.APPLIED, sequence, None, True)
    return Plan(outcome=Outcome.APPLIED, fields=(result,), item=replace(item, life=life))


def _is_newer(item: ItemState, path: str, state: FieldState, change: Change) -> bool:
    """Say whether a field stands against the delete; who decides about its life has seen what stood in it."""
    collision, base = item.life.collision, change.base_of(path)
    if collision is None or change.source.link_id is not None or base is None or base < collision.sequence:
        return collides(state, path, change)
    return state.revision > base


def _restore(item: ItemState, change: Change, sequence: int) -> Plan:
    if not item.deleted:
        return _life_stays(item, change, sequence)
    if _life_collides(item, change):
        return _life_collision(item, change, sequence, proposed=None, reason="deleted since")
    result = result_of(LIFE, Outcome.APPLIED, sequence, True, None)
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
    result, life = said_again(item.life, LIFE, item.life.value, change, sequence)
    return Plan(
        outcome=result.outcome, fields=(result,), item=replace(item, life=life) if life is not None else None
    )


def _lost(item: ItemState, path: str, value: FieldValue) -> FieldResult:
    """A value that the delete kept out: in the log it is not lost."""
    state = item.fields.get(path)
    revision, current = (state.revision, state.value) if state else (0, None)
    if value == current:
        return result_of(path, Outcome.UNCHANGED, revision, current, value)
    return result_of(path, Outcome.CONFLICTED, revision, current, value, ITEM_DELETED)


def _life_collides(item: ItemState, change: Change) -> bool:
    return collides(item.life, LIFE, change)


def _life_collision(
    item: ItemState, change: Change, sequence: int, *, proposed: FieldValue, reason: str
) -> Plan:
    result = result_of(LIFE, Outcome.CONFLICTED, item.life.revision, item.life.value, proposed, reason)
    if told_already(item.life.collision, proposed, change.source):
        return Plan(outcome=Outcome.CONFLICTED, fields=(result,))
    collision = collision_with(item.life, proposed, change.source, sequence)
    return Plan(
        outcome=Outcome.CONFLICTED,
        fields=(result,),
        item=replace(item, life=replace(item.life, collision=collision)),
    )


def _alive(item: ItemState, change: Change, sequence: int) -> ItemState:
    return replace(item, life=FieldState(value=None, revision=sequence, source=change.source))


def _strongest(outcomes: Iterable[Outcome]) -> Outcome:
    present = set(outcomes)
    return next((outcome for outcome in _STRENGTH if outcome in present), Outcome.UNCHANGED)
