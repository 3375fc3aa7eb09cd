"""Bulkheads within one kind of work: no account and no vendor takes all its places, however long it hangs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from services.gateway.records import Busy, Owner

_VENDORS_PART, _ACCOUNTS_PART = 2, 4
_LITTLE = 8
"""Whoever has fewer than one in so many places left is passed by: claims of one or two cost too much."""


class Owned(Protocol):
    """Work of somebody's."""

    @property
    def owner(self) -> Owner:
        """Whose it is."""
        ...


Task = TypeVar("Task", bound=Owned)


class Bulkhead(Generic[Task]):
    """Stands between a pump and its work: claims only for those that still have places.

    `claim` returns at most so many tasks, and none of those who are busy.
    """

    def __init__(
        self,
        *,
        slots: int,
        claim: Callable[[int, Busy], Awaitable[Sequence[Task]]],
        handle: Callable[[Task], Awaitable[None]],
    ) -> None:
        self._claim, self._handle = claim, handle
        self._accounts = _Places(max(1, slots // _ACCOUNTS_PART))
        self._vendors = _Places(max(1, slots // _VENDORS_PART))

    async def claim(self, limit: int) -> Sequence[Task]:
        """Claim tasks, no more than even one owner alone may have: who wants others' too asks again."""
        busy = Busy(integrations=self._accounts.busy(), vendors=self._vendors.busy())
        most = min(limit, self._accounts.left(), self._vendors.left())
        claimed = await self._claim(most, busy)
        for task in claimed:
            self._accounts.enter(task.owner.integration_id)
            self._vendors.enter(task.owner.vendor)
        return claimed

    async def handle(self, task: Task) -> None:
        """Do a task that was claimed here."""
        try:
            await self._handle(task)
        finally:
            self._accounts.leave(task.owner.integration_id)
            self._vendors.leave(task.owner.vendor)


class _Places:
    """How many places each of some owners has taken, of the `most` that it may have."""

    def __init__(self, most: int) -> None:
        self._most, self._enough = most, most - max(1, most // _LITTLE)
        self._taken: Counter[str] = Counter()

    def busy(self) -> frozenset[str]:
        """Return who has hardly any place left."""
        return frozenset(name for name, count in self._taken.items() if count > self._enough)

    def left(self) -> int:
        """Return how many places everybody else has left at least."""
        fullest = max((count for count in self._taken.values() if count <= self._enough), default=0)
        return self._most - fullest

    def enter(self, name: str) -> None:
        """Take a place."""
        self._taken[name] += 1

    def leave(self, name: str) -> None:
        """Give a place back."""
        self._taken[name] -= 1
        if not self._taken[name]:
            del self._taken[name]
