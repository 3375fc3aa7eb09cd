"""The sync service: its own planner on one wedding, a log, an outbox, and whoever decides what collided."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.gateway.store.deliveries import Commit
from services.sync.wedding import KnownChange, LoggedChange, Wedding
from tests.simulation.loop import Process
from tests.simulation.surroundings import Surroundings
from wedsync.client import SyncClient
from wedsync.convert import change_from_message, change_to_message
from wedsync.errors import FieldViolation, InvalidRequest, Overloaded, Unavailable
from wedsync.model.changes import Change, ChangeKind, ChangeResult, FieldState, ItemState, Source
from wedsync.model.ids import new_id
from wedsync.model.items import LIFE, FieldValue, ItemKind

WEDDING = "00000000-0000-4000-8000-0000000000aa"
_PLANNER = Source(organization_id="studio", actor="ada")

_LOST, _REFUSED = 0.04, 0.04
"""How often an answer is lost, and how often the service is too busy."""


class Canon:
    """The truth."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.wedding = Wedding(wedding_id=WEDDING, epoch=1, sequence=0)
        self.log: list[LoggedChange] = []
        self.asked: list[Change] = []
        """Every change that anybody proposed, in the order in which they came, repeats included."""
        self.outbox: list[Commit] = []
        self.committed_at: dict[int, float] = {}
        self.on_ask: list[Callable[[Change], None]] = []
        self.on_log: list[Callable[[LoggedChange], None]] = []
        self._known: dict[str, KnownChange] = {}

    def apply(self, changes: Sequence[Change]) -> list[ChangeResult]:
        """Plan a batch and commit it. Raises `InvalidRequest`, as the service does."""
        self.asked += changes
        for change in changes:
            for ask in self.on_ask:
                ask(change)
        changes = _as_received(changes)
        planned = self.wedding.plan(changes, self._known)
        self.wedding = self.wedding.after(planned)
        self._known |= planned.remember
        for entry in planned.logged:
            self._log(entry)
        return list(planned.results)

    def edit(
        self,
        kind: ChangeKind,
        item_id: str,
        item_kind: ItemKind,
        values: Mapping[str, FieldValue] | None = None,
        base: int | None = None,
    ) -> None:
        """Somebody calls the API; without a base they insist."""
        change = Change(
            change_id=new_id(),
            item_id=item_id,
            item_kind=item_kind,
            kind=kind,
            source=_PLANNER,
            values=values or {},
            default_base=base,
        )
        try:
            self.apply([change])
        except InvalidRequest as refused:
            self.around.note(None, f"refused: {refused}")

    def collisions(self) -> list[tuple[ItemState, str, FieldState]]:
        """Return every field in dispute; of an item that is deleted, only its life counts."""
        return [
            (item, path, state)
            for item in self.wedding.items.values()
            for path, state in {LIFE: item.life, **({} if item.deleted else item.fields)}.items()
            if state.collision is not None
        ]

    def decide(self, item: ItemState, path: str, state: FieldState, *, take: bool) -> None:
        """Settle a disagreement: the present value stays, or the proposed one is taken."""
        assert state.collision is not None
        value = state.collision.proposed if take else state.value
        base = self.wedding.sequence
        if path == LIFE:
            kind = ChangeKind.DELETE if value else ChangeKind.RESTORE
            self.edit(kind, item.item_id, item.kind, base=base)
        else:
            self.edit(ChangeKind.UPDATE, item.item_id, item.kind, {path: value}, base=base)

    def _log(self, entry: LoggedChange) -> None:
        self.log.append(entry)
        self.committed_at[entry.result.sequence] = self.around.loop.time()
        change = entry.change
        who = change.source.vendor or change.source.actor
        said = (
            f"{entry.result.sequence}: {change.kind} by {who} {dict(change.values)} is {entry.result.outcome}"
        )
        self.around.note(None, said)
        for tell in self.on_log:
            tell(entry)
        commit = Commit(
            wedding_id=WEDDING,
            sequence=entry.result.sequence,
            change_id=change.change_id,
            committed_at=self.around.now(),
            item=entry.item,
            priority=change.priority,
            trace_parent="",
        )
        self.outbox.append(commit)


def _as_received(changes: Sequence[Change]) -> list[Change]:
    """Return changes as they are once they went through the service's door."""
    problems: list[FieldViolation] = []
    received = [
        change_from_message(
            change_to_message(change), at="change", source=change.source, trace_parent="", problems=problems
        )
        for change in changes
    ]
    if problems:
        raise InvalidRequest(violations=problems)
    return [change for change in received if change is not None]


class CanonClient(SyncClient):
    """The way there from one gateway."""

    def __init__(self, canon: Canon, process: Process) -> None:
        self._canon, self._process, self._around = canon, process, canon.around

    async def apply_changes(
        self, wedding_id: str, changes: Sequence[Change], **options: Any
    ) -> list[ChangeResult]:
        """Apply changes, unless it is too busy; now and then the answer is lost."""
        await self._around.at("sync.apply before", self._process)
        await self._around.way()
        dice = 1.0 if self._around.faults.over else self._around.random()
        if dice < _REFUSED:
            raise Overloaded("too much", retry_after=self._around.random())
        results = self._canon.apply(changes)
        if dice > 1 - _LOST and not self._around.faults.over:
            raise Unavailable("the answer was lost")
        await self._around.at("sync.apply after", self._process)
        await self._around.way()
        return results
