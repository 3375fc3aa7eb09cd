"""The core with one thing wrong in it, in many ways: what finds nothing wrong here finds nothing anywhere.

Each mutant replaces one function or method while a world runs; nothing of the core's source is touched.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from unittest.mock import patch

from services.sync import field_plan, mailbox, owner, plan, wedding
from services.sync.batch import Answer, Done
from services.sync.facts import Fact, facts_of
from services.sync.feed import Feed, Message
from services.sync.outbox import Courier
from services.sync.owner import KnownBefore, Owner, WeddingCommit
from services.sync.wedding import BatchPlan, KnownChange, LoggedChange, Wedding
from tests.simulation.database import Database
from tests.simulation.tables import Statement, Transaction, WeddingRow
from wedsync.errors import WedSyncError
from wedsync.model.changes import Change, ChangeResult, ItemState, Outcome

_NOW_AND_THEN = 25


@dataclass(frozen=True, slots=True)
class Mutant:
    """One thing wrong."""

    name: str
    where: Any
    what: str
    instead: Callable[[], Any]
    """Returns what to put there, new for each world."""

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Have the core be like this."""
        with patch.object(self.where, self.what, self.instead()):
            yield


def _sometimes() -> Callable[[], bool]:
    turns = itertools.count(1)
    return lambda: next(turns) % _NOW_AND_THEN == 0


def _dropped() -> Callable[..., None]:
    log, now = wedding._Draft._log, _sometimes()

    def instead(self: Any, change: Change, result: ChangeResult, item: ItemState) -> None:
        if not now():
            log(self, change, result, item)

    return instead


def _doubled() -> Callable[..., None]:
    log, now = wedding._Draft._log, _sometimes()

    def instead(self: Any, change: Change, result: ChangeResult, item: ItemState) -> None:
        log(self, change, result, item)
        if now():
            log(self, change, replace(result, sequence=result.sequence + 1), item)

    return instead


def _gap() -> Callable[..., None]:
    log, now = wedding._Draft._log, _sometimes()

    def instead(self: Any, change: Change, result: ChangeResult, item: ItemState) -> None:
        log(self, change, result, item)
        self.sequence += now()

    return instead


def _swapped() -> Callable[..., BatchPlan]:
    planned = Wedding.plan

    def instead(self: Wedding, changes: Sequence[Change], known: Mapping[str, KnownChange]) -> BatchPlan:
        batch = planned(self, list(reversed(changes)), known)
        return replace(batch, results=tuple(reversed(batch.results)))

    return instead


def _unknown_is_done() -> Callable[..., Mapping[str, datetime]]:
    def instead(self: Owner, commits: Sequence[WeddingCommit]) -> Mapping[str, datetime]:
        try:
            return self._store.commit(commits)
        except WedSyncError:
            now = datetime.fromtimestamp(self._nanoseconds() / 1e9).astimezone()
            return {commit.wedding.wedding_id: now for commit in commits}

    return instead


def _fenced_is_done() -> Callable[..., Done]:
    conclude = Owner._conclude

    def instead(self: Owner, commit: WeddingCommit, committed_at: datetime | None) -> Done:
        now = datetime.fromtimestamp(self._nanoseconds() / 1e9).astimezone()
        return conclude(self, commit, committed_at or now)

    return instead


def _refused_unlooked() -> Callable[..., dict[str, BatchPlan]]:
    def instead(self: Owner, ready: Mapping[str, Sequence[Change]]) -> dict[str, BatchPlan]:
        return self._plan(ready, {})

    return instead


def _known_is_done() -> Callable[..., Mapping[str, datetime]]:
    def instead(self: Owner, commits: Sequence[WeddingCommit]) -> Mapping[str, datetime]:
        try:
            return self._store.commit(commits)
        except KnownBefore:
            now = datetime.fromtimestamp(self._nanoseconds() / 1e9).astimezone()
            return {commit.wedding.wedding_id: now for commit in commits}

    return instead


def _keys_not_kept() -> Callable[..., None]:
    append = Database._append

    def instead(self: Database, row: WeddingRow, commit: WeddingCommit, due: float) -> None:
        append(self, row, replace(commit, batch=replace(commit.batch, remember={})), due)

    return instead


def _epoch_not_raised() -> Callable[..., Statement[WeddingRow]]:
    take = Database.take

    def instead(self: Database, tx: Transaction, *args: Any, **named: Any) -> Statement[WeddingRow]:
        taken = yield from take(self, tx, *args, **named)
        same = replace(taken, epoch=max(1, taken.epoch - 1))
        tx.write(lambda: self.tables.weddings.update({taken.wedding_id: same}))
        return same

    return instead


def _own_clock() -> Callable[..., datetime]:
    write = Database._write

    def instead(self: Database, tx: Transaction, commit: WeddingCommit) -> datetime:
        rows, wedding_id = self.tables.weddings, commit.wedding.wedding_id
        rows[wedding_id] = replace(rows[wedding_id], committed_at=self.now())
        return write(self, tx, commit)

    return instead


def _oldest_state() -> property:
    def instead(self: BatchPlan) -> dict[str, ItemState]:
        return {entry.item.item_id: entry.item for entry in reversed(self.logged)}

    return property(instead)


def _fact_lost() -> Callable[..., tuple[Fact, ...]]:
    now = _sometimes()

    def instead(of: Wedding, logged: Sequence[LoggedChange]) -> tuple[Fact, ...]:
        facts = facts_of(of, logged)
        return facts[:-1] if now() else facts

    return instead


def _removed_first() -> Callable[..., Any]:
    async def instead(self: Courier, facts: Sequence[Fact]) -> None:
        await self._store.remove(facts)
        await self._deliver_safely(facts)
        self.failures = 0

    return instead


def _others_answer() -> Callable[..., None]:
    conclude = mailbox._conclude

    def instead(submission: Any, place: slice, answer: Answer, sent: int) -> None:
        size = place.stop - place.start
        conclude(submission, slice(0, size), answer, sent)

    return instead


def _any_content() -> Callable[..., ChangeResult]:
    def instead(change: Change, before: KnownChange, mark: bytes) -> ChangeResult:
        return replace(before.result, outcome=Outcome.DUPLICATE)

    return instead


def _deletes_blindly() -> Callable[..., plan.Plan]:
    delete = plan._delete

    def instead(item: ItemState, change: Change, sequence: int) -> plan.Plan:
        return delete(item, replace(change, base={}, default_base=None), sequence)

    return instead


def _shown_again() -> Callable[..., Any]:
    after, now = Feed.after, _sometimes()

    def instead(self: Feed, sequence: int) -> Sequence[Message] | None:
        return after(self, max(0, sequence - now()))

    return instead


def _never() -> Callable[..., bool]:
    return lambda *_, **__: False


def _always() -> Callable[..., bool]:
    return lambda *_, **__: True


MUTANTS = (
    Mutant("an accepted change is dropped", wedding._Draft, "_log", _dropped),
    Mutant("a change is applied twice", wedding._Draft, "_log", _doubled),
    Mutant("a sequence is left out", wedding._Draft, "_log", _gap),
    Mutant("the changes of a batch are turned round", Wedding, "plan", _swapped),
    Mutant("the fence is ignored", Database, "_owned", _always),
    Mutant("a fenced write is answered as done", Owner, "_conclude", _fenced_is_done),
    Mutant("an unknown commit is taken for done", Owner, "_commit", _unknown_is_done),
    Mutant("a refusal is given without a look at its id", Owner, "_plan_as_new", _refused_unlooked),
    Mutant("a commit with a known id is taken for done", Owner, "_commit", _known_is_done),
    Mutant("change ids are not kept", Database, "_append", _keys_not_kept),
    Mutant("a change id stands for any content", wedding, "_repeated", _any_content),
    Mutant("the epoch is not raised", Database, "take", _epoch_not_raised),
    Mutant("commit times follow the clock back", Database, "_write", _own_clock),
    Mutant("of two states of an item the older is kept", BatchPlan, "items", _oldest_state),
    Mutant("a fact is lost", owner, "facts_of", _fact_lost),
    Mutant("facts are removed before they are handed over", Courier, "_hand_over", _removed_first),
    Mutant("an answer goes to another's change", mailbox, "_conclude", _others_answer),
    Mutant("collisions are ignored", plan, "collides", _never),
    Mutant("collisions of fields are ignored", field_plan, "collides", _never),
    Mutant("a delete ignores newer edits", plan, "_delete", _deletes_blindly),
    Mutant("what the processor said is overwritten", field_plan, "_is_fact", _never),
    Mutant("a paused wedding takes changes", wedding, "refusal", lambda: lambda *_: None),
    Mutant("a watcher is shown something again", Feed, "after", _shown_again),
)
