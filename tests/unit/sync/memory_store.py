"""The owners' store without a database: what the contract suite says, in a dictionary."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from services.sync.batch import Batch
from services.sync.facts import Fact
from services.sync.lease import Revoked
from services.sync.owner import OWNER, WeddingCommit
from services.sync.records import LogEntry
from services.sync.wedding import KnownChange, Wedding
from wedsync.errors import NotOwner, Unavailable, UnknownWedding
from wedsync.model.changes import ItemState

__all__ = ["Batch", "MemoryStore"]

_START = datetime(2027, 1, 1, tzinfo=UTC)


@dataclass
class _Row:
    wedding: Wedding
    owner_id: str | None = None
    committed_at: datetime = _START
    keys: dict[str, KnownChange] = field(default_factory=dict)
    log: list[LogEntry] = field(default_factory=list)
    states: list[ItemState] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)


class MemoryStore:
    """Any number of owners may share one; `seconds` is its clock."""

    def __init__(self, seconds: Callable[[], float] = lambda: 0.0) -> None:
        self._seconds = seconds
        self._rows: dict[str, _Row] = {}
        self._leases: dict[str, float] = {}
        self._lock = threading.Lock()
        self._revoked: set[str] = set()
        self.limits: list[float] = []
        self.down = False
        self.lose_commit = False
        """The next commit happens, and its answer is lost."""

    def add(self, wedding: Wedding) -> None:
        """Have a wedding that nobody owns."""
        self._rows[wedding.wedding_id] = _Row(wedding)

    def log(self, wedding_id: str) -> list[LogEntry]:
        """Return the wedding's log."""
        return list(self._rows[wedding_id].log)

    def epoch(self, wedding_id: str) -> int:
        """Return how often the wedding was taken over."""
        return self._rows[wedding_id].wedding.epoch

    def states(self, wedding_id: str) -> list[ItemState]:
        """Return the item each logged change was about, as it left it."""
        return list(self._rows[wedding_id].states)

    def facts(self, wedding_id: str) -> list[Fact]:
        """Return what waits in the outbox."""
        return list(self._rows[wedding_id].facts)

    def limit(self, seconds: float) -> None:
        """Keep how long statements may take."""
        self.limits.append(seconds)

    def revoke(self, owner_id: str) -> None:
        """Have a lease run out."""
        self._revoked.add(owner_id)

    def bury(self, owner_id: str) -> None:
        """End a lease for good."""
        self._reach()
        self._revoked.add(owner_id)
        self._leases.pop(owner_id, None)

    def renew(self, owner_id: str, seconds: float) -> bool:
        """Renew a lease."""
        self._reach()
        if owner_id in self._revoked:
            raise Revoked
        unbroken = self._alive(owner_id)
        self._leases[owner_id] = self._seconds() + seconds
        return unbroken

    def end(self, owner_id: str) -> None:
        """End a lease."""
        self._reach()
        self._leases.pop(owner_id, None)

    def activate(self, wedding_id: str, owner_id: str, *, adopt: bool = True) -> Wedding:
        """Take over and load."""
        self._reach()
        row = self._rows.get(wedding_id)
        if row is None:
            raise UnknownWedding
        if row.owner_id != owner_id and row.owner_id is not None and self._alive(row.owner_id):
            left = self._leases[row.owner_id] - self._seconds()
            raise NotOwner(retry_after=left, metadata={OWNER: row.owner_id})
        if row.owner_id != owner_id and not adopt:
            raise NotOwner(retry_after=0.0)
        row.owner_id = owner_id
        row.wedding = replace(row.wedding, epoch=row.wedding.epoch + 1)
        return row.wedding

    def release(self, wedding_ids: Iterable[str], owner_id: str) -> None:
        """Give up."""
        self._reach()
        for wedding_id in wedding_ids:
            if wedding_id in self._rows and self._rows[wedding_id].owner_id == owner_id:
                self._rows[wedding_id].owner_id = None

    def find_keys(self, asked: Mapping[str, Iterable[str]]) -> Mapping[str, Mapping[str, KnownChange]]:
        """Look change ids up."""
        self._reach()
        return {
            wedding_id: {c: self._rows[wedding_id].keys[c] for c in ids if c in self._rows[wedding_id].keys}
            for wedding_id, ids in asked.items()
        }

    def commit(self, commits: Sequence[WeddingCommit]) -> Mapping[str, datetime]:
        """Write what is not fenced."""
        self._reach()
        with self._lock:
            times = {}
            for commit in commits:
                row = self._rows[commit.wedding.wedding_id]
                expected = (commit.wedding.epoch, commit.batch.expected_sequence)
                if (row.wedding.epoch, row.wedding.sequence) == expected:
                    times[commit.wedding.wedding_id] = self._write(row, commit)
        if self.lose_commit:
            self.lose_commit = False
            raise Unavailable
        return times

    def _write(self, row: _Row, commit: WeddingCommit) -> datetime:
        now = max(row.committed_at, _START + timedelta(seconds=self._seconds()))
        row.committed_at, row.wedding = now, row.wedding.after(commit.batch)
        for entry in commit.batch.logged:
            row.log.append(LogEntry(change=entry.change, result=replace(entry.result, committed_at=now)))
            row.states.append(entry.item)
        for change_id, known in commit.batch.remember.items():
            result = replace(known.result, committed_at=now) if known.result.sequence else known.result
            row.keys[change_id] = replace(known, result=result)
        row.facts += [replace(fact, committed_at=now) for fact in commit.facts]
        return now

    def _alive(self, owner_id: str) -> bool:
        return self._leases.get(owner_id, float("-inf")) > self._seconds()

    def _reach(self) -> None:
        if self.down:
            raise Unavailable
