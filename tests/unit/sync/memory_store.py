"""The owners' store without a server: the simulation's database, one statement at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from services.sync.batch import Batch
from services.sync.facts import Fact
from services.sync.owner import WeddingCommit
from services.sync.records import LogEntry
from services.sync.wedding import KnownChange, Wedding
from tests.simulation.database import Database
from tests.simulation.tables import Statement, Transaction
from wedsync.errors import Unavailable
from wedsync.model.changes import ItemState

__all__ = ["Batch", "MemoryStore"]

T = TypeVar("T")


class MemoryStore:
    """Any number of owners may share one; `seconds` is its clock."""

    def __init__(self, seconds: Callable[[], float] = lambda: 0.0) -> None:
        self._database = Database(seconds)
        self._lock = threading.Lock()
        self.limits: list[float] = []
        self.down = False
        self.lose_commit = False
        """The next commit happens, and its answer is lost."""

    def add(self, wedding: Wedding) -> None:
        """Have a wedding that nobody owns."""
        self._database.add(wedding.wedding_id, wedding.member_ids)

    def log(self, wedding_id: str) -> list[LogEntry]:
        """Return the wedding's log."""
        entries = self._database.tables.changes[wedding_id]
        return [LogEntry(change=entry.change, result=entry.result) for entry in entries]

    def epoch(self, wedding_id: str) -> int:
        """Return how often the wedding was taken over."""
        return self._database.tables.weddings[wedding_id].epoch

    def states(self, wedding_id: str) -> list[ItemState]:
        """Return the item each logged change was about, as it left it."""
        return list(self._database.tables.states[wedding_id])

    def facts(self, wedding_id: str) -> list[Fact]:
        """Return what waits in the outbox."""
        facts = (row.fact for row in self._database.tables.outbox.values())
        return [fact for fact in facts if fact.wedding_id == wedding_id]

    def limit(self, seconds: float) -> None:
        """Keep how long statements may take."""
        self.limits.append(seconds)

    def revoke(self, owner_id: str) -> None:
        """Have a lease run out."""
        self._run(lambda tx: self._database.revoke(tx, owner_id))

    def bury(self, owner_id: str) -> None:
        """End a lease for good."""
        self._run(lambda tx: self._database.bury(tx, owner_id))

    def renew(self, owner_id: str, seconds: float) -> bool:
        """Renew a lease."""
        return self._run(lambda tx: self._database.renew(tx, owner_id, seconds))

    def end(self, owner_id: str) -> None:
        """End a lease."""
        self._run(lambda tx: self._database.end(tx, owner_id))

    def activate(
        self, wedding_id: str, owner_id: str, *, adopt: bool = True, instead_of: Sequence[str] = ()
    ) -> Wedding:
        """Take over and load."""
        if instead_of:
            self.release(instead_of, owner_id)

        def taken_and_loaded(tx: Transaction) -> Statement[Wedding]:
            taken = yield from self._database.take(tx, wedding_id, owner_id, adopt=adopt)
            return (yield from self._database.load(tx, taken))

        return self._run(taken_and_loaded)

    def release(self, wedding_ids: Iterable[str], owner_id: str) -> None:
        """Give up."""
        self._run(lambda tx: self._database.release(tx, wedding_ids, owner_id))

    def find_keys(self, asked: Mapping[str, Iterable[str]]) -> Mapping[str, Mapping[str, KnownChange]]:
        """Look change ids up."""
        return self._run(lambda tx: self._database.find_keys(tx, asked))

    def commit(self, commits: Sequence[WeddingCommit]) -> Mapping[str, datetime]:
        """Write what is not fenced."""
        times = self._run(lambda tx: self._database.commit(tx, commits))
        if self.lose_commit:
            self.lose_commit = False
            raise Unavailable
        return times

    def _run(self, work: Callable[[Transaction], Statement[T]]) -> T:
        if self.down:
            raise Unavailable
        with self._lock:
            tx = self._database.begin()
            try:
                result = _finished(work(tx))
            except BaseException:
                tx.rollback()
                raise
            tx.commit()
            return result


def _finished(statement: Statement[T]) -> T:
    try:
        while True:
            waits_for = next(statement)
            assert waits_for is None, "nobody else is there who could have the row"
    except StopIteration as end:
        result: T = end.value
        return result
