"""No account and no vendor takes all places."""

from __future__ import annotations

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
    limits: list[int] = field(default_factory=list)

    async def claim(self, limit: int, busy: Busy) -> list[Work]:
        """Take what waits, but for the busy."""
        self.claims.append(busy)
        self.limits.append(limit)
        taken = [work for work in self.waiting if work.owner not in busy][:limit]
        for work in taken:
            self.waiting.remove(work)
        return taken

    def bulkhead(self, slots: int) -> Bulkhead[Work]:
        """Stand before this queue."""
        return Bulkhead(slots=slots, claim=self.claim, handle=_done)


async def all_of(bulkhead: Bulkhead[Work], slots: int) -> list[Work]:
    """Claim as a pump does: until all places are taken, or nothing more is found."""
    taken: list[Work] = []
    while len(taken) < slots and (claimed := await bulkhead.claim(slots - len(taken))):
        taken += claimed
    return taken


async def _done(_: Work) -> None:
    return


def of(account: str, vendor: str, count: int) -> list[Work]:
    """Return an account's tasks."""
    return [Work(Owner(integration_id=account, vendor=vendor)) for _ in range(count)]


async def test_the_oldest_work_of_one_account_leaves_places_to_others() -> None:
    """A thousand older tasks of one account take a quarter; the newest of another is claimed with them."""
    queue = Queue([*of("hanging", "tave", 1000), *of("well", "slack", 1)])
    taken = await all_of(queue.bulkhead(16), 16)
    assert [work.owner.integration_id for work in taken] == ["hanging"] * 4 + ["well"]
    assert len(queue.waiting) == 996


async def test_all_accounts_of_one_vendor_take_half() -> None:
    """A vendor that hangs with every account of its leaves half of the places."""
    accounts = [task for number in range(8) for task in of(f"a{number}", "tave", 50)]
    queue = Queue([*accounts, *of("well", "slack", 2)])
    taken = await all_of(queue.bulkhead(16), 16)
    assert sum(work.owner.vendor == "tave" for work in taken) == 8
    assert sum(work.owner.vendor == "slack" for work in taken) == 2


async def test_who_is_done_makes_room() -> None:
    """Places come back one by one, and those who are busy are passed by before anything is claimed."""
    queue = Queue(of("one", "tave", 10))
    bulkhead = queue.bulkhead(8)
    first = await bulkhead.claim(8)
    assert len(first) == 2
    assert await bulkhead.claim(6) == []
    assert queue.claims[-1].integrations == {"one"}
    await bulkhead.handle(first[0])
    assert len(await bulkhead.claim(7)) == 1


async def test_nobody_is_claimed_more_of_than_he_may_have() -> None:
    """However much of one account waits: what was claimed need not be given back."""
    queue = Queue(of("one", "tave", 1000))
    bulkhead = queue.bulkhead(64)
    taken = await bulkhead.claim(64)
    assert (len(taken), await bulkhead.claim(64)) == (16, [])
    await bulkhead.handle(taken[0])
    await bulkhead.handle(taken[1])
    assert len(await bulkhead.claim(64)) == 2
    assert queue.limits == [16, 16, 2]


async def test_who_has_hardly_a_place_left_is_passed_by() -> None:
    """One place of sixteen would make it a claim for each task: once there are two, they are claimed for."""
    queue = Queue(of("one", "tave", 1000))
    bulkhead = queue.bulkhead(64)
    taken = await bulkhead.claim(64)
    await bulkhead.handle(taken[0])
    assert await bulkhead.claim(64) == []
    await bulkhead.handle(taken[1])
    assert len(await bulkhead.claim(64)) == 2


async def test_a_task_that_fails_makes_room_too() -> None:
    """An exception in the work does not lose the place."""

    async def fail(_: Work) -> None:
        raise RuntimeError

    queue = Queue(of("one", "tave", 2))
    bulkhead = Bulkhead(slots=4, claim=queue.claim, handle=fail)
    for _ in range(2):
        [task] = await bulkhead.claim(1)
        try:
            await bulkhead.handle(task)
        except RuntimeError:
            continue
    assert queue.waiting == []
