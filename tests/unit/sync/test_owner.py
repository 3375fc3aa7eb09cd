"""The owner of weddings, over a store in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from services.sync.batch import Answer, Batch
from services.sync.lease import Lease
from services.sync.owner import Owner
from services.sync.wedding import KnownChange
from tests.unit.sync.builders import a_wedding, create, update
from tests.unit.sync.memory_store import MemoryStore
from wedsync.errors import NotOwner, Unavailable, UnknownWedding
from wedsync.model.changes import Change, Outcome
from wedsync.model.ids import new_id


class Time:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return seconds."""
        return self.now


class World:
    """One store, and owners of it."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.time = Time()
        self.store = store or MemoryStore(self.time)

    def owner(self, capacity: int = 1, lease_seconds: float = 5.0) -> Owner:
        """Return a new owner."""
        owner_id = new_id()
        lease = Lease(lambda seconds: self.store.renew(owner_id, seconds), self.time, lease_seconds)
        return Owner(owner_id=owner_id, store=self.store, lease=lease, capacity=capacity)

    def wedding(self) -> str:
        """Return a new wedding's id."""
        wedding = a_wedding()
        self.store.add(wedding)
        return wedding.wedding_id


def apply(owner: Owner, wedding_id: str, *changes: Change) -> Answer:
    """Apply changes of one wedding."""
    return owner.apply(Batch(work={wedding_id: changes}))


def outcomes(answer: Answer, wedding_id: str) -> list[tuple[Outcome, int]]:
    """Return what became of each change."""
    assert answer.done[wedding_id].error is None
    return [(result.outcome, result.sequence) for result in answer.done[wedding_id].results]


def test_changes_are_committed_and_told() -> None:
    """An answer has results with commit times, the facts to tell, and the stages in their order."""
    world = World()
    wedding_id, owner = world.wedding(), world.owner()
    answer = apply(owner, wedding_id, create("One"), create("Two"))
    done = answer.done[wedding_id]
    assert outcomes(answer, wedding_id) == [(Outcome.APPLIED, 1), (Outcome.APPLIED, 2)]
    assert all(result.committed_at for result in done.results)
    assert [(fact.sequence, fact.committed_at) for fact in done.facts] == [
        (result.sequence, result.committed_at) for result in done.results
    ]
    assert answer.stages.received <= answer.stages.planned <= answer.stages.committed
    assert answer.activations == 1
    assert apply(owner, wedding_id, create("Three")).activations == 0


def test_one_bad_wedding_does_not_stop_the_others() -> None:
    """In a batch over several weddings an unknown one is said, and the others are done."""
    world = World()
    known, unknown = world.wedding(), new_id()
    answer = world.owner(capacity=2).apply(Batch(work={unknown: [create()], known: [create()]}))
    assert isinstance(answer.done[unknown].error, UnknownWedding)
    assert outcomes(answer, known) == [(Outcome.APPLIED, 1)]


def test_nothing_is_committed_where_nothing_is_to_be_kept() -> None:
    """A refused change is answered without a write, and its id may be used again."""
    world = World()
    wedding_id, owner = world.wedding(), world.owner()
    refused = update(new_id(), {"title": "x"})
    assert outcomes(apply(owner, wedding_id, refused), wedding_id) == [(Outcome.REJECTED, 0)]
    assert world.store.log(wedding_id) == []


def test_room_is_made_by_the_least_recently_used() -> None:
    """An owner with room for two gives the one up that was idle longest, for anyone to take at once."""
    world = World()
    first, second, third = world.wedding(), world.wedding(), world.wedding()
    owner, rival = world.owner(capacity=2), world.owner()
    for wedding_id in (first, second, first, third):
        apply(owner, wedding_id, create())
    assert set(owner.holding) == {first, third}
    assert outcomes(apply(rival, second, create()), second) == [(Outcome.APPLIED, 2)]
    assert isinstance(apply(rival, first, create()).done[first].error, NotOwner)


def test_a_batch_is_not_evicted_by_itself() -> None:
    """A batch over more weddings than there is room for loses nothing of itself on the way."""
    world = World()
    ids = [world.wedding() for _ in range(3)]
    answer = world.owner(capacity=1).apply(Batch(work={wedding_id: [create()] for wedding_id in ids}))
    assert all(outcomes(answer, wedding_id) == [(Outcome.APPLIED, 1)] for wedding_id in ids)


def test_what_is_released_is_anyones() -> None:
    """A batch's releases come first; those of weddings that are not the owner's do nothing."""
    world = World()
    wedding_id, owner, rival = world.wedding(), world.owner(), world.owner()
    apply(owner, wedding_id, create())
    owner.apply(Batch(work={}, release=[wedding_id, new_id()]))
    assert owner.holding == ()
    assert outcomes(apply(rival, wedding_id, create()), wedding_id) == [(Outcome.APPLIED, 2)]


def test_what_a_gap_in_the_lease_dropped_can_still_be_released() -> None:
    """A wedding that is not held any more, but is the owner's by the database, becomes anyone's too."""
    world = World()
    wedding_id, owner, rival = world.wedding(), world.owner(), world.owner()
    apply(owner, wedding_id, create())
    world.time.now += 6
    owner.apply(Batch(work={}, release=[wedding_id]))
    assert outcomes(apply(rival, wedding_id, create()), wedding_id) == [(Outcome.APPLIED, 2)]


def test_a_retired_owner_need_not_be_waited_for() -> None:
    """After retire the lease is over, however long it would have run."""
    world = World()
    wedding_id, owner = world.wedding(), world.owner()
    apply(owner, wedding_id, create())
    owner.retire()
    assert outcomes(apply(world.owner(), wedding_id, create()), wedding_id) == [(Outcome.APPLIED, 2)]


def test_two_live_owners_never_both_write() -> None:
    """An owner whose lease ran out unseen is fenced, says so, and takes the newest state up later."""
    world = World()
    wedding_id = world.wedding()
    # The first believes in its lease for ever: the worst case, such as a process that was paused.
    owner_id = new_id()
    believer = Owner(
        owner_id=owner_id,
        store=world.store,
        lease=Lease(lambda _: world.store.renew(owner_id, 5.0), lambda: 0.0),
    )
    apply(believer, wedding_id, create("One"))
    world.time.now += 6
    rival = world.owner()
    assert outcomes(apply(rival, wedding_id, create("Two")), wedding_id) == [(Outcome.APPLIED, 2)]
    fenced = apply(believer, wedding_id, create("Three"))
    assert isinstance(fenced.done[wedding_id].error, NotOwner)
    assert fenced.fenced == 1
    assert [entry.change.values["title"] for entry in world.store.log(wedding_id)] == ["One", "Two"]
    rival.passivate([wedding_id])
    assert outcomes(apply(believer, wedding_id, create("Three")), wedding_id) == [(Outcome.APPLIED, 3)]


def test_a_refusal_is_fenced_like_a_write() -> None:
    """An owner that was replaced unseen refuses nothing by what it remembers; it says so instead."""
    world = World()
    wedding_id, rival = world.wedding(), world.owner()
    owner_id = new_id()
    replaced = Owner(
        owner_id=owner_id,
        store=world.store,
        lease=Lease(lambda seconds: world.store.renew(owner_id, seconds), world.time),
    )
    apply(replaced, wedding_id, create("One"))
    world.store.end(owner_id)  # somebody was told that it had died
    unseen = create("Two")
    apply(rival, wedding_id, unseen)
    refused = apply(replaced, wedding_id, update(unseen.item_id, {"title": "Three"}))
    assert isinstance(refused.done[wedding_id].error, NotOwner)
    assert refused.done[wedding_id].results == ()


def test_a_gap_in_the_lease_drops_everything_held() -> None:
    """After its lease ran out an owner renews it and reads everything again before it answers."""
    world = World()
    wedding_id, owner = world.wedding(), world.owner()
    made = create("One")
    apply(owner, wedding_id, made)
    world.time.now += 6
    answer = apply(owner, wedding_id, update(made.item_id, {"title": "Two"}))
    assert outcomes(answer, wedding_id) == [(Outcome.APPLIED, 2)]
    assert answer.activations == 1


def test_an_unknown_commit_is_repeated_by_id() -> None:
    """A commit whose answer was lost is retryable, drops the state, and the repeat finds the change done."""
    world = World()
    wedding_id, owner = world.wedding(), world.owner()
    made = create("One")
    apply(owner, wedding_id, create("Zero"))
    world.store.lose_commit = True
    lost = apply(owner, wedding_id, made).done[wedding_id].error
    assert isinstance(lost, Unavailable)
    assert owner.holding == ()
    assert outcomes(apply(owner, wedding_id, made), wedding_id) == [(Outcome.DUPLICATE, 2)]
    assert len(world.store.log(wedding_id)) == 2


def test_a_database_out_of_reach_is_said_for_every_wedding() -> None:
    """While nothing can be reached every part of the batch fails as retryable."""
    world = World()
    wedding_id, owner = world.wedding(), world.owner()
    world.store.down = True
    assert isinstance(apply(owner, wedding_id, create()).done[wedding_id].error, Unavailable)
    world.store.down = False
    assert outcomes(apply(owner, wedding_id, create()), wedding_id) == [(Outcome.APPLIED, 1)]


class SlowStore(MemoryStore):
    """Takes longer than a lease to look for keys."""

    def __init__(self, time: Time) -> None:
        super().__init__(time)
        self.time, self.slow = time, False

    def find_keys(self, asked: Mapping[str, Iterable[str]]) -> Mapping[str, Mapping[str, KnownChange]]:
        """Look, slowly."""
        if self.slow:
            self.time.now += 6
        return super().find_keys(asked)


def test_an_answer_after_the_lease_is_not_given() -> None:
    """A refusal judged by state that may be old by now is not answered: the caller asks again."""
    time = Time()
    store = SlowStore(time)
    world = World(store)
    world.time = time
    wedding_id, owner = world.wedding(), world.owner()
    store.slow = True
    late = apply(owner, wedding_id, update(new_id(), {"title": "x"}))
    assert isinstance(late.done[wedding_id].error, Unavailable)
    assert late.done[wedding_id].results == ()


@pytest.mark.parametrize("times", [1, 3])
def test_a_change_is_applied_once_however_often_it_is_asked_for(times: int) -> None:
    """The same change in one batch and in later ones is logged once, with one commit time."""
    world = World()
    wedding_id, owner = world.wedding(), world.owner()
    made = create("One")
    first = apply(owner, wedding_id, *[made] * (times + 1)).done[wedding_id].results
    again = apply(owner, wedding_id, made).done[wedding_id].results
    assert {result.outcome for result in (*first[1:], *again)} == {Outcome.DUPLICATE}
    assert len({result.committed_at for result in (*first, *again)}) == 1
    assert len(world.store.log(wedding_id)) == 1
