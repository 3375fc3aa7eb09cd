"""How a change has to be decided, and what a decision makes of an item: the rules, restated. Pure.

Written apart from the planner on purpose: what both get wrong alike would go unseen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from wedsync.model.changes import (
    PAYMENT_PROCESSOR,
    Change,
    ChangeKind,
    Collision,
    FieldResult,
    FieldState,
    ItemState,
    Outcome,
)
from wedsync.model.items import CATALOGUE, LIFE, FieldValue, ItemKind
from wedsync.model.merge import MERGED_TYPES
from wedsync.testing.history_records import Entry

Allowed = frozenset[Outcome]

PAUSED = "paused"
"""The field of a wedding's own item that has everything else be refused."""

_SAME = frozenset({Outcome.UNCHANGED})
_TAKEN = frozenset({Outcome.APPLIED})
_KEPT_OUT = frozenset({Outcome.CONFLICTED})
_TOGETHER = frozenset({Outcome.MERGED, Outcome.SUPERSEDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the rules say about a change of an item: a refusal, or what may become of each field."""

    refusal: str = ""
    fields: Mapping[str, Allowed] = field(default_factory=dict)


def verdict(item: ItemState | None, change: Change, *, paused: bool = False) -> Verdict:
    """Return what the rules say, while the wedding is paused or not."""
    if paused and change.item_kind is ItemKind.WEDDING and change.values.get(PAUSED):
        return Verdict()
    if paused and not _let_through(change):
        return Verdict(refusal="WEDDING_PAUSED")
    item = met(item, change)
    if item is None:
        return _birth(change)
    if change.values and change.item_kind is not item.kind:
        return Verdict(refusal="ITEM_KIND_DIFFERS")
    unseen_life = _unseen(item.life, LIFE, item.kind, change)
    if change.kind in {ChangeKind.DELETE, ChangeKind.RESTORE}:
        return Verdict(fields={LIFE: _of_life(item, change, unseen_life=unseen_life)})
    if not item.deleted or (change.kind is ChangeKind.CREATE and not unseen_life):
        return Verdict(fields={path: _of_field(item, path, change) for path in change.values})
    if not unseen_life:
        return Verdict(refusal="ITEM_DELETED")
    lost = {path: _SAME if item.value(path) == v else _KEPT_OUT for path, v in change.values.items()}
    return Verdict(fields={LIFE: _KEPT_OUT, **lost})


def met(item: ItemState | None, change: Change) -> ItemState | None:
    """Return the item that a change meets: a wedding's own is there from the beginning."""
    if item is not None or change.item_kind is not ItemKind.WEDDING:
        return item
    life = FieldState(value=None, revision=0, source=change.source)
    return ItemState(item_id=change.item_id, kind=change.item_kind, life=life)


def _let_through(change: Change) -> bool:
    """Say whether a paused wedding takes the change: one of itself, or a step of a rewind."""
    return change.item_kind is ItemKind.WEDDING or (change.source.policy or "").startswith("rewind:")


def _birth(change: Change) -> Verdict:
    if change.kind is not ChangeKind.CREATE:
        return Verdict(refusal="UNKNOWN_ITEM")
    return Verdict(fields={path: _TAKEN for path, value in change.values.items() if value is not None})


def _of_life(item: ItemState, change: Change, *, unseen_life: bool) -> Allowed:
    wanted = True if change.kind is ChangeKind.DELETE else None
    if item.life.value is wanted:
        return _TAKEN if _ends(item.life.collision, LIFE, wanted, change) else _SAME
    newer = any(_against_delete(item, path, change) for path in item.fields)
    return _KEPT_OUT if unseen_life or (wanted and newer) else _TAKEN


def _against_delete(item: ItemState, path: str, change: Change) -> bool:
    """Say whether a field stands against a delete: not if its author settles a dispute and has weighed it."""
    state, dispute, seen = item.fields[path], item.life.collision, change.base_of(path)
    decides = change.source.link_id is None and seen is not None
    if decides and dispute is not None and (seen or 0) >= dispute.sequence:
        return (seen or 0) < state.revision
    return _unseen(state, path, item.kind, change)


def _of_field(item: ItemState, path: str, change: Change) -> Allowed:
    state, value = item.fields.get(path), change.values[path]
    if value == (state.value if state else None):
        return _TAKEN if state and _ends(state.collision, path, value, change) else _SAME
    plain = _KEPT_OUT if state and _unseen(state, path, item.kind, change) else _TAKEN
    return plain | _TOGETHER if _mergeable(item, path, change) else plain


def _mergeable(item: ItemState, path: str, change: Change) -> bool:
    if CATALOGUE[item.kind][path].type not in MERGED_TYPES or path not in change.base_values:
        return False
    return change.base_values[path] != item.value(path)


def _unseen(state: FieldState, path: str, kind: ItemKind, change: Change) -> bool:
    """Say whether the present value is newer than what the author had seen, and not its own."""
    if state.source.same_record(change.source):
        return False
    # Who creates and names no base has seen nothing; who edits and names none insists.
    seen = change.base_of(path)
    if seen is None and change.kind is ChangeKind.CREATE:
        seen = 0
    spec = CATALOGUE[kind].get(path)
    if spec is not None and spec.fact and state.source.category == PAYMENT_PROCESSOR:
        return state.collision is None or seen is None or seen < state.collision.sequence
    return seen is not None and seen < state.revision


def _ends(collision: Collision | None, path: str, value: FieldValue, change: Change) -> bool:
    """Say whether the change ends an open disagreement: its author has seen it, insists, or gives in."""
    if collision is None:
        return False
    if change.source.link_id is not None:
        return value != collision.proposed and collision.proposed_by.same_record(change.source)
    seen = change.base_of(path)
    return seen is None or seen >= collision.sequence


def only_repeats(state: FieldState, result: FieldResult, change: Change) -> bool:
    """Say whether a record only says its side of an open disagreement again: that is not logged."""
    collision = state.collision
    return (
        collision is not None
        and collision.proposed == result.proposed
        and collision.proposed_by.same_record(change.source)
    )


def after(item: ItemState | None, entry: Entry) -> ItemState:
    """Return the item as an entry of the log leaves it, by what the entry says became of each field."""
    change, alive = entry.change, FieldState(value=None, revision=entry.sequence, source=entry.change.source)
    if (item := met(item, change)) is None:
        item = ItemState(item_id=change.item_id, kind=change.item_kind, life=alive)
    named = {result.path: result for result in entry.result.fields}
    if change.kind is ChangeKind.CREATE and item.deleted and LIFE not in named:
        item = replace(item, life=alive)
    if LIFE in named:
        return replace(item, life=_field_after(item.life, named[LIFE], entry) or item.life)
    return replace(item, fields={**item.fields, **dict(_fields_after(item, entry))})


def _fields_after(item: ItemState, entry: Entry) -> Iterator[tuple[str, FieldState]]:
    for result in entry.result.fields:
        state = _field_after(item.fields.get(result.path), result, entry)
        if state is not None:
            yield result.path, state


def _field_after(state: FieldState | None, result: FieldResult, entry: Entry) -> FieldState | None:
    if result.outcome is Outcome.CONFLICTED and state is not None:
        repeated = only_repeats(state, result, entry.change)
        return state if repeated else _disputed(state, result.proposed, entry)
    if result.outcome not in {Outcome.APPLIED, Outcome.MERGED}:
        return state
    new = FieldState(value=result.proposed, revision=entry.sequence, source=entry.change.source)
    if state is not None and state.value == new.value:
        return replace(new, source=state.source)  # said again: it only ended a dispute
    if result.outcome is Outcome.MERGED:
        # No vendor's record shows the merged value yet.
        new = replace(new, source=replace(new.source, record_id=None))
    if state is None or state.collision is None or result.path == LIFE:
        return new
    return _in_dispute(state.collision, new, result, entry)


def _disputed(state: FieldState, value: FieldValue, entry: Entry) -> FieldState:
    held = state.collision.held_links if state.collision else frozenset()
    collision = Collision(
        sequence=entry.sequence,
        proposed=value,
        proposed_by=entry.change.source,
        current_by=state.source,
        also_held=tuple(sorted(held)),
    )
    return replace(state, collision=collision)


def _in_dispute(dispute: Collision, new: FieldState, result: FieldResult, entry: Entry) -> FieldState:
    """Return a field's new state where there was an open dispute about it."""
    source = entry.change.source
    decided = result.outcome is Outcome.APPLIED and source.link_id is None
    if decided and new.value == dispute.proposed:
        new = replace(new, source=dispute.proposed_by)  # who decides for a side does not become its author
    if _ends(dispute, result.path, new.value, entry.change):
        return new
    if dispute.proposed_by.same_record(source):
        return replace(new, collision=replace(dispute, proposed_by=source))
    return replace(new, collision=replace(dispute, current_by=source))
