"""What one proposed value means for one field: taken, merged, collided, or there already. Pure.

A field collides only if its revision is newer than the change's base for it, the values differ, and the
present value did not come from the same vendor record. On a collision the present value stays, and the
field is held for the vendors involved until somebody who has seen both sides decides.

Sets and lines of text are merged instead, where the author says what it had seen and the edits allow
it. Facts about money are the other exception: what a payment processor said collides with whatever
anybody else says, seen or not, so that it is decided and never just overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from wedsync.model.changes import (
    PAYMENT_PROCESSOR,
    Change,
    ChangeKind,
    Collision,
    FieldResult,
    FieldState,
    Outcome,
    Source,
)
from wedsync.model.items import CATALOGUE, FieldValue, ItemKind
from wedsync.model.merge import MERGED_TYPES, Unmergeable, merged


def settle(
    state: FieldState | None, path: str, value: FieldValue, change: Change, sequence: int
) -> tuple[FieldResult, FieldState | None]:
    """Return what becomes of one field and its new state, None where it stays untouched."""
    current = state or FieldState(value=None, revision=0, source=change.source)
    if value == current.value:
        return said_again(current, path, value, change, sequence)
    if (together := _together(current, path, value, change)) is not None:
        return _merged(current, path, together.value, change, sequence)
    if collides(current, path, change):
        return _collided(current, path, value, change.source, sequence)
    applied = FieldState(
        value=value,
        revision=sequence,
        source=_author(current.collision, value, change.source),
        collision=_still_open(current, path, value, change),
    )
    return result_of(path, Outcome.APPLIED, sequence, current.value, value), applied


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
        return result_of(path, Outcome.SUPERSEDED, current.revision, together, together, reason), None
    state = FieldState(
        value=together,
        revision=sequence,
        # No vendor's record shows the merged value yet, so none is exempt from colliding with it.
        source=replace(change.source, record_id=None),
        collision=_still_open(current, path, together, change),
    )
    reason = f"together with the edit at {current.revision}"
    return result_of(path, Outcome.MERGED, sequence, current.value, together, reason), state


def _author(collision: Collision | None, value: FieldValue, source: Source) -> Source:
    """Return whose value it is: who decides for a side does not become its author."""
    decided = collision is not None and source.link_id is None and value == collision.proposed
    return collision.proposed_by if collision is not None and decided else source


def said_again(
    current: FieldState, path: str, value: FieldValue, change: Change, sequence: int
) -> tuple[FieldResult, FieldState | None]:
    """An equal value changes nothing, but it can end a disagreement, and that is logged."""
    if current.collision is None or not _ends(current.collision, path, value, change):
        return result_of(path, Outcome.UNCHANGED, current.revision, current.value, current.value), None
    settled = FieldState(value=current.value, revision=sequence, source=current.source)
    return result_of(
        path, Outcome.APPLIED, sequence, current.value, current.value, "the collision is over"
    ), settled


def _collided(
    current: FieldState, path: str, value: FieldValue, source: Source, sequence: int
) -> tuple[FieldResult, FieldState | None]:
    reason = f"set to another value at {current.revision} by {current.source.vendor or current.source.actor}"
    result = result_of(path, Outcome.CONFLICTED, current.revision, current.value, value, reason)
    if told_already(current.collision, value, source):
        return result, None
    return result, replace(current, collision=collision_with(current, value, source, sequence))


def told_already(collision: Collision | None, value: FieldValue, source: Source) -> bool:
    """Say whether the same vendor record only repeats its side of an open disagreement."""
    return collision is not None and collision.proposed == value and collision.proposed_by.same_record(source)


def collision_with(current: FieldState, proposed: FieldValue, source: Source, sequence: int) -> Collision:
    """Return the disagreement between the present value and another; who is held already stays held."""
    earlier = current.collision.held_links if current.collision else frozenset()
    return Collision(
        sequence=sequence,
        proposed=proposed,
        proposed_by=source,
        current_by=current.source,
        also_held=tuple(sorted(earlier)),
    )


def collides(current: FieldState, path: str, change: Change) -> bool:
    """Say whether a differing value of the change may not just take the place of the present one."""
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


def result_of(
    path: str, outcome: Outcome, revision: int, previous: FieldValue, proposed: FieldValue, reason: str = ""
) -> FieldResult:
    """Return what is said about one field; the revision is that of the value that holds now."""
    return FieldResult(
        path=path, outcome=outcome, revision=revision, previous=previous, proposed=proposed, reason=reason
    )
