"""Bulkheads within one kind of work: no account and no vendor takes all its places, however long it hangs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Protocol, TypeVar

from services.gateway.records import Busy, Owner

_VENDORS_PART, _ACCOUNTS_PART = 2, 4
_ROUNDS = 8


class Owned(Protocol):
    """Work of somebody's."""

    @property
    def owner(self) -> Owner:
        """Whose it is."""
        ...


Task = TypeVar("Task", bound=Owned)


class Bulkhead(Generic[Task]):
    """Stands between a pump and its work: claims only for those that still have places."""

    def __init__(
        self,
        *,
        slots: int,
        claim: Callable[[int, Busy], Awaitable[Sequence[Task]]],
        give_back: Callable[[Sequence[Task]], Awaitable[None]],
        handle: Callable[[Task], Awaitable[None]],
    ) -> None:
        self._per_vendor = max(1, slots // _VENDORS_PART)
        self._per_account = max(1, slots // _ACCOUNTS_PART)
        self._claim, self._give_back, self._handle = claim, give_back, handle
        self._accounts: Counter[str] = Counter()
        self._vendors: Counter[str] = Counter()

    async def claim(self, limit: int) -> list[Task]:
        """Claim tasks; what is one owner's too much is given back, and others' is claimed instead."""
        taken: list[Task] = []
        try:
            for _ in range(_ROUNDS):
                claimed = await self._claim(limit - len(taken), self._busy())
                admitted = [task for task in claimed if self._admit(task.owner)]
                taken += admitted
                if len(admitted) == len(claimed):
                    break
                kept = set(map(id, admitted))
                await self._give_back([task for task in claimed if id(task) not in kept])
        except BaseException:
            # Nobody will handle what was claimed so far: it waits for its lease to end, its places do not.
            for task in taken:
                self._leave(task.owner)
            raise
        return taken

    async def handle(self, task: Task) -> None:
        """Do a task that was claimed here."""
        try:
            await self._handle(task)
        finally:
            self._leave(task.owner)

    def _busy(self) -> Busy:
        return Busy(
            integrations=[name for name, count in self._accounts.items() if count >= self._per_account],
            vendors=[name for name, count in self._vendors.items() if count >= self._per_vendor],
        )

    def _admit(self, owner: Owner) -> bool:
        if (
            self._accounts[owner.integration_id] >= self._per_account
            or self._vendors[owner.vendor] >= self._per_vendor
        ):
            return False
        self._accounts[owner.integration_id] += 1
        self._vendors[owner.vendor] += 1
        return True

    def _leave(self, owner: Owner) -> None:
        for counter, name in ((self._accounts, owner.integration_id), (self._vendors, owner.vendor)):
            counter[name] -= 1
            if not counter[name]:
                del counter[name]
