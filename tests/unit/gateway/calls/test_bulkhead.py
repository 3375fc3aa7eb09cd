"""No account and no vendor takes all places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from services.gateway.calls.bulkhead import Bulkhead
from services.gateway.records import Busy, Owner


@dataclass(frozen=True)
class Work:
    """Something to be done for somebody."""

    owner: Owner


@dataclass
class Queue:
    """Work that waits, the oldest first."""

    waiting: list[Work]
    claims: list[Busy] = field(default_factory=list)
    given_back: list[Work] = field(default_factory=list)

    async def claim(self, limit: int, busy: Busy) -> list[Work]:
        """Take what waits, but for the busy."""
        self.claims.append(busy)
        free = [w for w in self.waiting if w.owner.integration_id not in busy.integrations]
        taken = [w for w in free if w.owner.vendor not in busy.vendors][:limit]
        for work in taken:
            self.waiting.remove(work)
        return taken

    async def give_back(self, tasks: Sequence[Work]) -> None:
        """Put it back to the front."""
        self.given_back += tasks
        self.waiting[:0] = tasks

    def bulkhead(self, slots: int) -> Bulkhead[Work]:
        """Stand before this queue."""
        return Bulkhead(slots=slots, claim=self.claim, give_back=self.give_back, handle=_done)


async def _done(_: Work) -> None:
    return


def of(account: str, vendor: str, count: int) -> list[Work]:
    """Return an account's tasks."""
    return [Work(Owner(integration_id=account, vendor=vendor)) for _ in range(count)]


async def test_the_oldest_work_of_one_account_leaves_places_to_others() -> None:
    """A thousand older tasks of one account take a quarter; the newest of another is claimed with them."""
    queue = Queue([*of("hanging", "tave", 1000), *of("well", "slack", 1)])
    taken = await queue.bulkhead(16).claim(16)
    assert [work.owner.integration_id for work in taken] == ["hanging"] * 4 + ["well"]
    assert len(queue.waiting) == 996


async def test_all_accounts_of_one_vendor_take_half() -> None:
    """A vendor that hangs with every account of its leaves half of the places."""
    accounts = [task for number in range(8) for task in of(f"a{number}", "tave", 50)]
    queue = Queue([*accounts, *of("well", "slack", 2)])
    taken = await queue.bulkhead(16).claim(16)
    assert sum(work.owner.vendor == "tave" for work in taken) == 8
    assert sum(work.owner.vendor == "slack" for work in taken) == 2


async def test_who_is_done_makes_room() -> None:
    """Places come back one by one, and those who are busy are passed by before anything is claimed."""
    queue = Queue(of("one", "tave", 10))
    bulkhead = queue.bulkhead(8)
    first = await bulkhead.claim(8)
    assert len(first) == 2
    assert await bulkhead.claim(6) == []
    assert queue.claims[-1].integrations == ["one"]
    await bulkhead.handle(first[0])
    assert len(await bulkhead.claim(7)) == 1


async def test_a_task_that_fails_makes_room_too() -> None:
    """An exception in the work does not lose the place."""

    async def fail(_: Work) -> None:
        raise RuntimeError

    queue = Queue(of("one", "tave", 2))
    bulkhead = Bulkhead(slots=4, claim=queue.claim, give_back=queue.give_back, handle=fail)
    for _ in range(2):
        [task] = await bulkhead.claim(1)
        try:
            await bulkhead.handle(task)
        except RuntimeError:
            continue
    assert queue.waiting == []
