"""What waits for one actor."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from services.sync.batch import Answer, Batch, Done, Stages
from services.sync.mailbox import LOADING_COST, MAX_BATCH, ActorLost, Applied, Mailbox
from tests.unit.sync.builders import create, critical, emergency
from wedsync.clock import FakeClock, SystemClock
from wedsync.errors import DeadlineExceeded, NotOwner, Overloaded
from wedsync.model.changes import Change, ChangeResult, Outcome
from wedsync.model.ids import new_id


class Callee:
    """An actor that answers when told to."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.open = asyncio.Event()
        self.open.set()
        self.errors: dict[str, NotOwner] = {}
        self.failure: Exception | None = None
        self.running = 0

    async def __call__(self, batch: Batch) -> Answer:
        """Answer every change."""
        self.batches.append(batch)
        self.running += 1
        assert self.running == 1, "one call in flight"
        await self.open.wait()
        self.running -= 1
        if self.failure:
            raise self.failure
        done = {
            wedding_id: Done(error=self.errors[wedding_id])
            if wedding_id in self.errors
            else Done(results=[ChangeResult(change_id=c.change_id, outcome=Outcome.APPLIED) for c in changes])
            for wedding_id, changes in batch.work.items()
        }
        return Answer(pid=1, stages=Stages(received=1, planned=2, committed=3), done=done)

    def sizes(self) -> list[int]:
        """Return how many changes each call brought."""
        return [sum(len(changes) for changes in batch.work.values()) for batch in self.batches]


def ids(applied: Applied) -> list[str]:
    """Return the change ids of the results."""
    return [result.change_id for result in applied.results]


async def settle() -> None:
    """Let everything that can run, run."""
    for _ in range(10):
        await asyncio.sleep(0)


def submit(
    mailbox: Mailbox, wedding_id: str, changes: Sequence[Change], **options: Any
) -> asyncio.Task[Applied]:
    """Submit in the background."""
    return asyncio.create_task(mailbox.submit(wedding_id, changes, **options))


async def test_what_arrives_during_a_call_goes_together_in_the_next() -> None:
    """One call is in flight; ten submissions that arrive meanwhile make one more call, in order."""
    callee = Callee()
    mailbox = Mailbox(callee, clock=SystemClock())
    callee.open.clear()
    changes = [create() for _ in range(11)]
    tasks = [submit(mailbox, "w", changes[:1])]
    await settle()
    tasks += [submit(mailbox, "w", [change]) for change in changes[1:]]
    await settle()
    callee.open.set()
    applied = await asyncio.gather(*tasks)
    assert callee.sizes() == [1, 10]
    assert [ids(one) for one in applied] == [[change.change_id] for change in changes]
    assert mailbox.idle


async def test_every_submission_gets_its_own_results() -> None:
    """Submissions of several weddings share a call, and each gets the results of its own changes."""
    callee = Callee()
    mailbox = Mailbox(callee, clock=SystemClock())
    mine, yours, more = [create(), create()], [create()], [create()]
    applied = await asyncio.gather(
        submit(mailbox, "a", mine), submit(mailbox, "b", yours), submit(mailbox, "a", more)
    )
    assert callee.sizes() == [4]
    assert [ids(one) for one in applied] == [[c.change_id for c in part] for part in (mine, yours, more)]


async def test_the_error_of_one_wedding_is_its_own() -> None:
    """A wedding that is refused fails alone."""
    callee = Callee()
    callee.errors["a"] = NotOwner()
    mailbox = Mailbox(callee, clock=SystemClock())
    refused, fine = submit(mailbox, "a", [create()]), submit(mailbox, "b", [create()])
    with pytest.raises(NotOwner):
        await refused
    assert len((await fine).results) == 1


async def test_a_full_queue_says_so_but_emergencies_pass() -> None:
    """Beyond the limit a submission is refused at once with a retry time; an emergency goes first."""
    callee = Callee()
    mailbox = Mailbox(callee, clock=SystemClock(), limit=2)
    callee.open.clear()
    first = submit(mailbox, "w", [create()])
    await settle()
    waiting = submit(mailbox, "w", [create(), create()])
    await settle()
    with pytest.raises(Overloaded) as refused:
        await mailbox.submit("w", [create()])
    assert refused.value.retry_after
    urgent = emergency(create())
    passed = submit(mailbox, "w", [urgent])
    await settle()
    callee.open.set()
    await asyncio.gather(first, waiting, passed)
    assert callee.batches[1].work["w"][0] is urgent


async def test_a_call_is_bounded() -> None:
    """More than one call's worth of changes is spread over calls; a large submission goes whole."""
    callee = Callee()
    mailbox = Mailbox(callee, clock=SystemClock(), window=0)
    half = MAX_BATCH // 2 + 1
    await asyncio.gather(*(submit(mailbox, "w", [create()] * half) for _ in range(3)))
    assert callee.sizes() == [half] * 3


async def test_the_window_opens_only_under_load() -> None:
    """After a call that carried several submissions the next one waits a little, for company."""
    clock, callee = FakeClock(), Callee()
    mailbox = Mailbox(callee, clock=clock, window=0.01)
    callee.open.clear()
    crowd = [submit(mailbox, "w", [create()]) for _ in range(2)]
    await settle()
    late = submit(mailbox, "w", [create()])
    callee.open.set()
    await settle()
    assert len(callee.batches) == 1
    clock.advance(0.01)
    await asyncio.gather(*crowd, late)
    assert callee.sizes() == [2, 1]


async def test_who_gave_up_is_not_served() -> None:
    """A submission whose caller went away while it waited is left out."""
    callee = Callee()
    mailbox = Mailbox(callee, clock=SystemClock())
    callee.open.clear()
    first = submit(mailbox, "w", [create()])
    await settle()
    given_up, kept = submit(mailbox, "w", [create()]), submit(mailbox, "w", [create()])
    await settle()
    given_up.cancel()
    with suppress(asyncio.CancelledError):
        await given_up
    callee.open.set()
    await asyncio.gather(first, kept)
    assert callee.sizes() == [1, 1]


async def test_a_caller_that_leaves_during_the_call_disturbs_nobody() -> None:
    """The answer for somebody who went away is dropped."""
    callee = Callee()
    mailbox = Mailbox(callee, clock=SystemClock())
    callee.open.clear()
    gone, kept = submit(mailbox, "w", [create()]), submit(mailbox, "w", [create()])
    await settle()
    gone.cancel()
    await settle()
    callee.open.set()
    assert len((await kept).results) == 1


@pytest.mark.parametrize("failure", [ActorLost("killed"), ValueError("a bug of ours")])
async def test_a_lost_actor_turns_everybody_away(failure: Exception) -> None:
    """Those in the call, those who wait and those who come later all hear that the actor is lost."""
    callee = Callee()
    callee.failure = failure
    mailbox = Mailbox(callee, clock=SystemClock())
    callee.open.clear()
    in_call = submit(mailbox, "w", [create()])
    await settle()
    waiting = submit(mailbox, "w", [create()])
    await settle()
    callee.open.set()
    for task in (in_call, waiting, submit(mailbox, "w", [create()])):
        with pytest.raises(ActorLost):
            await task


async def test_a_release_goes_before_what_follows_it() -> None:
    """A wedding is let go of in the same call as, and before, the work submitted after it."""
    callee, wedding_id = Callee(), new_id()
    mailbox = Mailbox(callee, clock=SystemClock())
    mailbox.release(wedding_id)
    await mailbox.submit("w", [create()])
    assert [list(batch.release) for batch in callee.batches] == [[wedding_id]]
    assert not mailbox.busy("w")


async def test_what_waited_too_long_is_not_begun() -> None:
    """A submission whose time is over is told so, for certain, and no call brings it to the owner."""
    clock, callee = FakeClock(), Callee()
    mailbox = Mailbox(callee, clock=clock, window=0)
    callee.open.clear()
    first = submit(mailbox, "w", [create()], until=9.0)
    await settle()
    late, patient = submit(mailbox, "w", [create()], until=1.0), submit(mailbox, "w", [create()], until=5.0)
    await settle()
    clock.advance(1.0)
    callee.open.set()
    await asyncio.gather(first, patient)
    with pytest.raises(DeadlineExceeded, match="nothing was done"):
        await late
    assert callee.sizes() == [1, 1]
    assert [batch.seconds for batch in callee.batches] == [9.0, 4.0]


async def test_a_call_loads_a_bounded_number_of_weddings() -> None:
    """Weddings that must be loaded first count for more, so that an emergency waits for few of them."""
    callee = Callee()
    mailbox = Mailbox(callee, clock=SystemClock(), window=0)
    await asyncio.gather(*(submit(mailbox, new_id(), [create()], loading=True) for _ in range(100)))
    assert max(callee.sizes()) <= MAX_BATCH // LOADING_COST


async def test_a_critical_flood_lets_an_emergency_pass() -> None:
    """With more waiting than many calls can carry, all of it critical, an emergency is in the next call."""
    callee = Callee()
    mailbox = Mailbox(callee, clock=SystemClock(), limit=5000, window=0)
    callee.open.clear()
    flood = [submit(mailbox, "w", [critical(create())] * 100) for _ in range(40)]
    await settle()
    urgent = emergency(create())
    passed = submit(mailbox, "w", [urgent])
    await settle()
    callee.open.set()
    await passed
    assert callee.batches[1].work["w"][0] is urgent
    await asyncio.gather(*flood)
    assert len(callee.batches) >= 8
