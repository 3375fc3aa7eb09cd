"""Rows, row locks and transactions: READ COMMITTED, in a dictionary for each table."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from services.sync.facts import Fact
from services.sync.wedding import KnownChange
from wedsync.model.changes import ItemState
from wedsync.testing.history import Entry

T = TypeVar("T")
Key = tuple[str, ...]
Statement = Generator[Key | None, None, T]

START = datetime(2027, 1, 1, tzinfo=UTC)
NEVER = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeddingRow:
    """A row of `weddings`, and what is read along with it."""

    wedding_id: str
    member_ids: tuple[str, ...]
    epoch: int = 0
    sequence: int = 0
    owner_id: str | None = None
    committed_at: datetime = START


@dataclass(frozen=True, slots=True)
class OwnerRow:
    """A row of `owners`."""

    lease_until: float
    revoked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """A row of `outbox`."""

    fact: Fact
    not_before: float
    attempts: int = 0
    claimed_until: float = NEVER


@dataclass(slots=True)
class Tables:
    """What is committed."""

    weddings: dict[str, WeddingRow] = field(default_factory=dict)
    owners: dict[str, OwnerRow] = field(default_factory=dict)
    items: dict[str, dict[str, ItemState]] = field(default_factory=dict)
    changes: dict[str, list[Entry]] = field(default_factory=dict)
    states: dict[str, list[ItemState]] = field(default_factory=dict)
    """The column `changes.state`: the item as each change left it."""
    keys: dict[str, dict[str, KnownChange]] = field(default_factory=dict)
    outbox: dict[str, OutboxRow] = field(default_factory=dict)


class Locks:
    """Which transaction has which row."""

    def __init__(self) -> None:
        self.holders: dict[Key, Transaction] = {}
        self.on_free: Callable[[Key], None] = lambda _: None
        """Told of every row that is let go."""

    def free(self, key: Key) -> None:
        """Let a row go."""
        del self.holders[key]
        self.on_free(key)


class Transaction:
    """Locks held and writes that nobody sees yet."""

    def __init__(self, locks: Locks) -> None:
        self._locks = locks
        self._held: dict[Key, None] = {}
        self._writes: list[Callable[[], object]] = []

    def lock(self, *key: str) -> Statement[None]:
        """Wait for a row, and keep it until the end."""
        while self.locked(*key):
            yield key
        self._locks.holders[key] = self
        self._held[key] = None

    def locked(self, *key: str) -> bool:
        """Say whether another transaction has the row."""
        return self._locks.holders.get(key, self) is not self

    def write(self, act: Callable[[], object]) -> None:
        """Do this when the transaction commits."""
        self._writes.append(act)

    def commit(self) -> None:
        """Have all of it be seen at once."""
        for act in self._writes:
            act()
        self.rollback()

    def rollback(self) -> None:
        """Forget what was not committed, and let others have the rows."""
        self._writes.clear()
        for key in self._held:
            self._locks.free(key)
        self._held.clear()
