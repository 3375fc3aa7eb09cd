"""What is done in the wedding about a conflict: ask, carry the decision out, say how it ended. Pure.

An act is derived from the conflict when it is done, and its changes' ids from the conflict: done twice,
after a crash say, it is one change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.conflicts import words
from services.conflicts.conflict import Choice, Claim, Conflict, Decision, State
from wedsync.model.changes import Change, ChangeKind, Source
from wedsync.model.ids import act_id, announcement_id
from wedsync.model.items import LIFE, FieldValue, ItemKind

AUTHOR = "WedSync"


class Act(StrEnum):
    """One thing to do."""

    ANNOUNCE = "announce"
    DECIDE = "decide"
    CONCLUDE = "conclude"


PLACES = {Act.ANNOUNCE: 0, Act.DECIDE: 1, Act.CONCLUDE: 2}
"""Acts about one conflict are done in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """An act that somebody has claimed."""

    act: Act
    conflict_id: str
    organization_ids: tuple[str, ...]
    attempts: int


def changes_of(act: Act, conflict: Conflict, trace_parent: str = "") -> list[Change]:
    """Return the changes that do it; none where it is not needed any more."""
    over = conflict.state in {State.RESOLVED, State.SUPERSEDED}
    match act:
        case Act.ANNOUNCE:
            return [] if over or conflict.decision else [_announcement(conflict, trace_parent)]
        case Act.DECIDE:
            return (
                []
                if over or conflict.decision is None
                else _decided(conflict, conflict.decision, trace_parent)
            )
        case Act.CONCLUDE:
            return [_conclusion(conflict, trace_parent)] if over else []


def decision_change_id(conflict_id: str) -> str:
    """Return the id of the change that carries the decision."""
    return act_id(conflict_id, Act.DECIDE)


def _announcement(conflict: Conflict, trace_parent: str) -> Change:
    values: Mapping[str, FieldValue] = {
        "text": words.question(conflict.collision),
        "author": AUTHOR,
        "conflict_id": conflict.conflict_id,
    }
    return _message(conflict, Act.ANNOUNCE, ChangeKind.CREATE, values, trace_parent)


def _conclusion(conflict: Conflict, trace_parent: str) -> Change:
    values: Mapping[str, FieldValue] = {"text": words.outcome(conflict), "conflict_id": None}
    return _message(conflict, Act.CONCLUDE, ChangeKind.UPDATE, values, trace_parent)


def _message(
    conflict: Conflict, act: Act, kind: ChangeKind, values: Mapping[str, FieldValue], trace_parent: str
) -> Change:
    owner = conflict.collision.current.source.organization_id
    return Change(
        change_id=act_id(conflict.conflict_id, act),
        item_id=announcement_id(conflict.conflict_id),
        item_kind=ItemKind.MESSAGE,
        kind=kind,
        source=Source(organization_id=owner, actor=AUTHOR),
        values=values,
        trace_parent=trace_parent,
    )


def _decided(conflict: Conflict, decision: Decision, trace_parent: str) -> list[Change]:
    collision = conflict.collision
    claim = _claim(conflict, decision)
    if collision.path != LIFE:
        values = {collision.path: decision.value}
        return [_change(conflict, decision, Act.DECIDE, ChangeKind.UPDATE, values, trace_parent)]
    if claim.value:
        return [_change(conflict, decision, Act.DECIDE, ChangeKind.DELETE, {}, trace_parent)]
    restored = _change(conflict, decision, Act.DECIDE, ChangeKind.RESTORE, {}, trace_parent)
    if not claim.values:
        return [restored]
    return [
        restored,
        _change(conflict, decision, f"{Act.DECIDE}:values", ChangeKind.UPDATE, claim.values, trace_parent),
    ]


def _change(
    conflict: Conflict,
    decision: Decision,
    act: str,
    kind: ChangeKind,
    values: Mapping[str, FieldValue],
    trace_parent: str,
) -> Change:
    collision = conflict.collision
    # Who decided had seen the field as it was when the claims were last told.
    seen = max(collision.sequence, collision.as_of_sequence)
    return Change(
        change_id=act_id(conflict.conflict_id, act),
        item_id=collision.item_id,
        item_kind=collision.item_kind,
        kind=kind,
        source=_author(conflict, decision),
        values=values,
        base={collision.path: seen},
        default_base=seen,
        trace_parent=trace_parent,
    )


def _claim(conflict: Conflict, decision: Decision) -> Claim:
    current = decision.choice is Choice.CURRENT
    return conflict.collision.current if current else conflict.collision.proposed


def _author(conflict: Conflict, decision: Decision) -> Source:
    """Return who decided; never as a vendor's link, so that every vendor is brought to the value."""
    if decision.source is not None:
        return Source(
            organization_id=decision.source.organization_id,
            actor=decision.source.actor,
            vendor=decision.source.vendor,
        )
    owner = _claim(conflict, decision).source.organization_id
    policy = f"{decision.policy}@{decision.policy_version}"
    return Source(organization_id=owner, actor=f"policy:{decision.policy}", policy=policy)
