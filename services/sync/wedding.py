"""A wedding as a state machine: what a batch of changes makes of it. Pure.

Nothing here is changed in place: a batch is planned against the state, committed by somebody else,
and only then taken over. A batch whose commit failed leaves no trace.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.sync.pause import plan_own, refusal
from services.sync.plan import Plan, plan
from services.sync.stored_items import changed
from wedsync.model.changes import Change, ChangeResult, ItemState, Outcome
from wedsync.model.codec import dump_change

CHANGE_ID_REUSED = "CHANGE_ID_REUSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownChange:
    """A change id that was used before, by which content, and what became of it."""

    fingerprint: bytes
    result: ChangeResult


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedChange:
    """One entry for the log: the change, its result, and the item it met and leaves."""

    change: Change
    result: ChangeResult
    item: ItemState
    before: ItemState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """What a batch does to a wedding; committed as one, or not at all."""

    expected_sequence: int
    sequence: int
    results: tuple[ChangeResult, ...]
    logged: tuple[LoggedChange, ...]
    remember: Mapping[str, KnownChange]
    """Change ids to keep, so that each is applied at most once."""

    @property
    def items(self) -> dict[str, ItemState]:
        """The newest state of every item the batch touched."""
        return {entry.item.item_id: entry.item for entry in self.logged}

    @property
    def refuses(self) -> bool:
        """Whether any change was refused; the id of such a one is not kept."""
        return any(result.outcome is Outcome.REJECTED for result in self.results)

    @property
    def judged(self) -> bool:
        """Whether anything was decided by the wedding's state, so that it is true only while that is.

        Refusals are too, although they write nothing: an owner that was replaced without knowing would
        refuse edits of what it has not seen.
        """
        return any(
            result.outcome is not Outcome.DUPLICATE and result.reason != CHANGE_ID_REUSED
            for result in self.results
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wedding:
    """The canonical state of one wedding, as its owner holds it."""

    wedding_id: str
    epoch: int
    sequence: int
    member_ids: tuple[str, ...] = ()
    items: Mapping[str, ItemState] = field(default_factory=dict)

    def plan(self, changes: Sequence[Change], known: Mapping[str, KnownChange]) -> BatchPlan:
        """Decide what the changes do, in order; one that is refused does not hold up the others."""
        draft = _Draft(self, known)
        results = tuple(draft.take(change) for change in changes)
        return BatchPlan(
            expected_sequence=self.sequence,
            sequence=draft.sequence,
            results=results,
            logged=tuple(draft.logged),
            remember=draft.fresh,
        )

    def after(self, batch: BatchPlan) -> Wedding:
        """Return the wedding as the committed batch leaves it."""
        return replace(self, sequence=batch.sequence, items=changed(self.items, batch.items))


def fingerprint(change: Change) -> bytes:
    """Return a digest of what the change says, so that an id used twice for different things is seen."""
    content = json.dumps(dump_change(change), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).digest()[:16]


class _Draft:
    """The wedding while a batch is being planned."""

    def __init__(self, wedding: Wedding, known: Mapping[str, KnownChange]) -> None:
        self.sequence = wedding.sequence
        self.logged: list[LoggedChange] = []
        self.fresh: dict[str, KnownChange] = {}
        self._wedding_id, self._items = wedding.wedding_id, wedding.items
        self._touched: dict[str, ItemState] = {}
        self._known = known

    def take(self, change: Change) -> ChangeResult:
        before = self.fresh.get(change.change_id) or self._known.get(change.change_id)
        mark = fingerprint(change)
        if before is not None:
            return _repeated(change, before, mark)
        planned = self._plan(change)
        result = ChangeResult(
            change_id=change.change_id,
            outcome=planned.outcome,
            sequence=self.sequence + 1 if planned.item else 0,
            fields=planned.fields,
            reason=planned.reason,
        )
        if planned.item is not None:
            self._log(change, result, planned.item)
        if planned.outcome is not Outcome.REJECTED:
            self.fresh[change.change_id] = KnownChange(fingerprint=mark, result=result)
        return result

    def _plan(self, change: Change) -> Plan:
        own = self._item(self._wedding_id)
        if (reason := refusal(own, change)) is not None:
            return Plan(outcome=Outcome.REJECTED, reason=reason)
        if change.item_id == self._wedding_id:
            return plan_own(own, change, self.sequence + 1)
        return plan(self._item(change.item_id), change, self.sequence + 1)

    def _item(self, item_id: str) -> ItemState | None:
        return self._touched.get(item_id) or self._items.get(item_id)

    def _log(self, change: Change, result: ChangeResult, item: ItemState) -> None:
        self.sequence += 1
        before = self._item(item.item_id)
        self._touched[item.item_id] = item
        self.logged.append(LoggedChange(change=change, result=result, item=item, before=before))


def _repeated(change: Change, before: KnownChange, mark: bytes) -> ChangeResult:
    if before.fingerprint != mark:
        return ChangeResult(change_id=change.change_id, outcome=Outcome.REJECTED, reason=CHANGE_ID_REUSED)
    return replace(before.result, outcome=Outcome.DUPLICATE)
