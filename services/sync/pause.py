"""A wedding that is paused: what pausing is, and what is still let through. Pure.

Pausing is a change like any other, of the wedding's own item, whose id is the wedding's and which is
there from the beginning. It is logged, and shown to whoever watches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.sync.plan import Plan, plan
from services.sync.rewind import is_rewind
from wedsync.errors import WeddingPaused
from wedsync.model.changes import Change, ChangeKind, ChangeResult, FieldState, ItemState, Outcome, Source
from wedsync.model.items import FieldValue, ItemKind

RETRY_SECONDS = 5.0
"""How long who is refused waits: so late, at most, what waited arrives once the wedding is resumed."""

_PAUSED, _REASON = "paused", "pause_reason"
_REFUSED = "WEDDING_PAUSED: "


def pausing(wedding_id: str, request_id: str, reason: str, source: Source, trace_parent: str) -> Change:
    """Return the change that pauses a wedding."""
    return _change(wedding_id, request_id, {_PAUSED: True, _REASON: reason}, source, trace_parent)


def resuming(wedding_id: str, request_id: str, source: Source, trace_parent: str) -> Change:
    """Return the change that has a wedding go on."""
    return _change(wedding_id, request_id, {_PAUSED: None, _REASON: None}, source, trace_parent)


def paused_because(own: ItemState | None) -> str | None:
    """Return why the wedding is paused, None where it is not."""
    return str(own.value(_REASON) or "") if own is not None and own.value(_PAUSED) else None


def refusal(own: ItemState | None, change: Change) -> str | None:
    """Return why the change is turned away, None where it is let through."""
    reason = paused_because(own)
    if reason is None or change.item_kind is ItemKind.WEDDING or is_rewind(change):
        return None
    return _REFUSED + reason


def require_let_through(results: Iterable[ChangeResult]) -> None:
    """Raise `WeddingPaused` if any of the changes was turned away."""
    for result in results:
        if result.reason.startswith(_REFUSED):
            reason = result.reason.removeprefix(_REFUSED)
            raise WeddingPaused(
                f"The wedding is paused ({reason}); repeat this once it is resumed.",
                retry_after=RETRY_SECONDS,
            )


def plan_own(own: ItemState | None, change: Change, sequence: int) -> Plan:
    """Decide what a change of the wedding itself means. Pausing what is paused does nothing."""
    if paused_because(own) is not None and change.values.get(_PAUSED):
        return Plan(outcome=Outcome.UNCHANGED)
    return plan(own or _from_the_beginning(change), change, sequence)


def _change(
    wedding_id: str, request_id: str, values: Mapping[str, FieldValue], source: Source, trace_parent: str
) -> Change:
    return Change(
        change_id=request_id,
        item_id=wedding_id,
        item_kind=ItemKind.WEDDING,
        kind=ChangeKind.UPDATE,
        source=source,
        values=values,
        trace_parent=trace_parent,
    )


def _from_the_beginning(change: Change) -> ItemState:
    life = FieldState(value=None, revision=0, source=change.source)
    return ItemState(item_id=change.item_id, kind=ItemKind.WEDDING, life=life)
