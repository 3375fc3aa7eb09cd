"""PostgreSQL as far as the core can tell: READ COMMITTED, row locks, and what is written when.

A statement is a generator. It yields the key of a row while another transaction has it locked, and
None where others may come in between. What it writes shows when its transaction commits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from services.sync.actor_store import DIRECT_SECONDS
from services.sync.facts import Destination, Fact
from services.sync.lanes import LANES
from services.sync.lease import Revoked
from services.sync.owner import OWNER, KnownBefore, WeddingCommit
from services.sync.records import Claim
from services.sync.wedding import KnownChange, Wedding
from tests.simulation.tables import (
    NEVER,
    START,
    Locks,
    OutboxRow,
    OwnerRow,
    Statement,
    Tables,
    Transaction,
    WeddingRow,
)
from wedsync.errors import NotOwner, UnknownWedding
from wedsync.testing.history import Entry


class Database:
    """The statements of the actors' store and of the outbox, one by one."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self.tables = Tables()
        self.locks = Locks()
        self.told: list[Fact] = []
        """Every fact that ever was in the outbox."""

    def begin(self) -> Transaction:
        """Open a transaction."""
        return Transaction(self.locks)

    def add(self, wedding_id: str, member_ids: tuple[str, ...]) -> None:
        """Have a wedding that nobody owns."""
        self.tables.weddings[wedding_id] = WeddingRow(wedding_id=wedding_id, member_ids=member_ids)
        self.tables.items[wedding_id] = {}
        self.tables.changes[wedding_id] = []
        self.tables.states[wedding_id] = []
        self.tables.keys[wedding_id] = {}

    def renew(self, tx: Transaction, owner_id: str, seconds: float) -> Statement[bool]:
        """Renew a lease."""
        before, now = self.tables.owners.get(owner_id), self._seconds()
        yield from tx.lock("owner", owner_id)
        newest = self.tables.owners.get(owner_id)
        if newest is not None and newest.revoked:
            raise Revoked
        row = OwnerRow(now + seconds)
        tx.write(partial(self.tables.owners.update, {owner_id: row}))
        return before is not None and before.lease_until > self._seconds()

    def end(self, tx: Transaction, owner_id: str) -> Statement[None]:
        """End a lease."""
        yield from tx.lock("owner", owner_id)
        tx.write(partial(self.tables.owners.pop, owner_id, None))

    def revoke(self, tx: Transaction, owner_id: str) -> Statement[None]:
        """Have a lease not be renewed any more."""
        yield from tx.lock("owner", owner_id)
        row = self.tables.owners.get(owner_id)
        if row is not None:
            tx.write(partial(self.tables.owners.update, {owner_id: replace(row, revoked=True)}))

    def bury(self, tx: Transaction, owner_id: str) -> Statement[None]:
        """End the lease of an owner that is said to be dead; it is not renewed any more."""
        yield from tx.lock("owner", owner_id)
        row = self.tables.owners.get(owner_id)
        if row is not None:
            buried = OwnerRow(min(row.lease_until, self._seconds()), revoked=True)
            tx.write(partial(self.tables.owners.update, {owner_id: buried}))

    def take(self, tx: Transaction, wedding_id: str, owner_id: str, *, adopt: bool) -> Statement[WeddingRow]:
        """Take a wedding over, raising its epoch."""
        owners = dict(self.tables.owners)  # other tables than the row's are seen as the statement began
        if wedding_id not in self.tables.weddings:
            raise UnknownWedding
        self._require_free(self.tables.weddings[wedding_id], owners, owner_id, adopt=adopt)
        yield from tx.lock("wedding", wedding_id)
        row = self.tables.weddings[wedding_id]
        self._require_free(row, owners, owner_id, adopt=adopt)
        taken = replace(row, epoch=row.epoch + 1, owner_id=owner_id)
        tx.write(partial(self.tables.weddings.update, {wedding_id: taken}))
        return taken

    def _require_free(
        self, row: WeddingRow, owners: Mapping[str, OwnerRow], owner_id: str, *, adopt: bool
    ) -> None:
        if row.owner_id == owner_id:
            return
        owner = owners.get(row.owner_id or "")
        left = max(0.0, owner.lease_until - self._seconds()) if owner else 0.0
        if left > 0:
            raise NotOwner(retry_after=left, metadata={OWNER: str(row.owner_id)})
        if not adopt:
            raise NotOwner(retry_after=0.0)

    def load(self, tx: Transaction, taken: WeddingRow) -> Statement[Wedding]:
        """Load the wedding that this transaction took."""
        yield None
        return Wedding(
            wedding_id=taken.wedding_id,
            epoch=taken.epoch,
            sequence=taken.sequence,
            member_ids=taken.member_ids,
            items=dict(self.tables.items[taken.wedding_id]),
        )

    def release(self, tx: Transaction, wedding_ids: Iterable[str], owner_id: str) -> Statement[None]:
        """Give weddings up."""
        for wedding_id in wedding_ids:
            row = self.tables.weddings.get(wedding_id)
            if row is None or row.owner_id != owner_id:
                continue
            yield from tx.lock("wedding", wedding_id)
            row = self.tables.weddings[wedding_id]
            if row.owner_id == owner_id:
                tx.write(partial(self.tables.weddings.update, {wedding_id: replace(row, owner_id=None)}))

    def find_keys(
        self, tx: Transaction, asked: Mapping[str, Iterable[str]]
    ) -> Statement[dict[str, dict[str, KnownChange]]]:
        """Look change ids up."""
        yield None
        keys = self.tables.keys
        return {
            wedding: {change: keys[wedding][change] for change in changes if change in keys[wedding]}
            for wedding, changes in asked.items()
        }

    def commit(self, tx: Transaction, commits: Sequence[WeddingCommit]) -> Statement[dict[str, datetime]]:
        """Write what is not fenced."""
        times = {}
        for commit in sorted(commits, key=lambda commit: commit.wedding.wedding_id):
            if not self._owned(commit):
                continue
            yield from tx.lock("wedding", commit.wedding.wedding_id)
            if self._owned(commit):  # by the newest version of the row
                times[commit.wedding.wedding_id] = self._write(tx, commit)
        yield None
        return times

    def _owned(self, commit: WeddingCommit) -> bool:
        row = self.tables.weddings[commit.wedding.wedding_id]
        return (row.epoch, row.sequence) == (commit.wedding.epoch, commit.batch.expected_sequence)

    def _write(self, tx: Transaction, commit: WeddingCommit) -> datetime:
        wedding_id, batch = commit.wedding.wedding_id, commit.batch
        row = self.tables.weddings[wedding_id]
        if not batch.remember.keys().isdisjoint(self.tables.keys[wedding_id]):
            raise KnownBefore  # as the unique index has it
        at = max(row.committed_at, self.now())
        after = replace(row, sequence=batch.sequence, committed_at=at)
        tx.write(partial(self._append, after, commit, self._seconds() + DIRECT_SECONDS))
        return at

    def _append(self, row: WeddingRow, commit: WeddingCommit, due: float) -> None:
        tables, wedding_id, at = self.tables, row.wedding_id, row.committed_at
        tables.weddings[wedding_id] = row
        tables.items[wedding_id] |= commit.batch.items
        tables.changes[wedding_id] += [
            Entry(
                change=entry.change,
                result=replace(entry.result, committed_at=at),
                epoch=row.epoch,
                owner=row.owner_id,
            )
            for entry in commit.batch.logged
        ]
        tables.states[wedding_id] += [entry.item for entry in commit.batch.logged]
        for change_id, known in commit.batch.remember.items():
            result = replace(known.result, committed_at=at if known.result.sequence else None)
            tables.keys[wedding_id][change_id] = replace(known, result=result)
        for fact in commit.facts:
            self.told.append(replace(fact, committed_at=at))
            tables.outbox[fact.fact_id] = OutboxRow(fact=self.told[-1], not_before=due)

    def now(self) -> datetime:
        """Return the server's clock."""
        return START + timedelta(seconds=self._seconds())

    def claim(
        self, tx: Transaction, destination: Destination, *, limit: int, seconds: float
    ) -> Statement[list[Claim]]:
        """Take due facts that nobody else is taking."""
        now = self._seconds()
        due = [
            row
            for row in self.tables.outbox.values()
            if row.fact.destination is destination and row.not_before <= now and row.claimed_until <= now
        ]
        due.sort(key=lambda row: (LANES.index(row.fact.priority), row.not_before))
        free = [row for row in due if not tx.locked("fact", row.fact.fact_id)][:limit]
        for row in free:
            yield from tx.lock("fact", row.fact.fact_id)
            self._update(tx, replace(row, attempts=row.attempts + 1, claimed_until=now + seconds))
        yield None
        return [
            Claim(wedding_id=row.fact.wedding_id, fact_id=row.fact.fact_id, attempts=row.attempts + 1)
            for row in free
        ]

    def load_facts(self, tx: Transaction, claims: Sequence[Claim]) -> Statement[list[Fact]]:
        """Read claimed facts that are still there."""
        yield None
        rows = (self.tables.outbox.get(claim.fact_id) for claim in claims)
        facts = [row.fact for row in rows if row is not None]
        return sorted(facts, key=lambda fact: (LANES.index(fact.priority), fact.wedding_id, fact.sequence))

    def log(
        self, tx: Transaction, after: Mapping[str, int], *, limit: int
    ) -> Statement[dict[str, list[Entry]]]:
        """Read what follows a sequence in each log."""
        yield None
        changes = self.tables.changes
        return {wedding: changes[wedding][place : place + limit] for wedding, place in after.items()}

    def remove(self, tx: Transaction, fact_ids: Sequence[str]) -> Statement[None]:
        """Forget facts."""
        for fact_id in self._present(fact_ids):
            yield from tx.lock("fact", fact_id)
            tx.write(partial(self.tables.outbox.pop, fact_id, None))
        yield None

    def postpone(self, tx: Transaction, fact_ids: Sequence[str], *, seconds: float) -> Statement[None]:
        """Have facts be due later."""
        for fact_id in self._present(fact_ids):
            yield from tx.lock("fact", fact_id)
            row = self.tables.outbox.get(fact_id)
            if row is not None:
                self._update(tx, replace(row, claimed_until=NEVER, not_before=self._seconds() + seconds))

    def _present(self, fact_ids: Sequence[str]) -> list[str]:
        # All in one order: PostgreSQL would end a deadlock, and whoever lost would try again.
        wanted = set(fact_ids)
        return [fact_id for fact_id in self.tables.outbox if fact_id in wanted]

    def _update(self, tx: Transaction, row: OutboxRow) -> None:
        tx.write(partial(self.tables.outbox.update, {row.fact.fact_id: row}))
