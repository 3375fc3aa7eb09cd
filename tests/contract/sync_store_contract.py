"""What any store of wedding owners must do."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest

from services.sync.facts import facts_of
from services.sync.lease import Revoked
from services.sync.owner import OWNER, KnownBefore, OwnerStore, WeddingCommit
from services.sync.records import LogEntry
from services.sync.wedding import Wedding
from tests.unit.sync.builders import a_wedding, create, delete, update, vendor
from wedsync.errors import NotOwner, UnknownWedding
from wedsync.model.changes import Change, ItemState, Outcome
from wedsync.model.ids import new_id

LONG = 60.0


class Bench(Protocol):
    """A store under test, and what surrounds it."""

    @property
    def store(self) -> OwnerStore:
        """Return the store."""
        ...

    def another(self) -> OwnerStore:
        """Return a second owner's way to the same data."""
        ...

    def add(self, wedding: Wedding) -> None:
        """Have a wedding that nobody owns."""
        ...

    def revoke(self, owner_id: str, *, dead: bool = False) -> None:
        """Have an owner's lease run out; at once where it is said to be dead."""
        ...

    def log(self, wedding_id: str) -> list[LogEntry]:
        """Return the wedding's log."""
        ...

    def states(self, wedding_id: str) -> list[ItemState]:
        """Return the item each logged change was about, as it left it."""
        ...

    def outbox(self, wedding_id: str) -> list[tuple[int, str]]:
        """Return sequence and destination of what waits to be told."""
        ...


def commit_of(wedding: Wedding, changes: Sequence[Change], store: OwnerStore) -> WeddingCommit:
    """Plan the changes as an owner does."""
    known = store.find_keys({wedding.wedding_id: [change.change_id for change in changes]})
    batch = wedding.plan(changes, known.get(wedding.wedding_id, {}))
    return WeddingCommit(wedding=wedding, batch=batch, facts=facts_of(wedding, batch.logged))


class StoreContract:
    """Subclasses only provide `bench`."""

    @pytest.fixture
    def owner(self, bench: Bench) -> str:
        """An owner whose lease runs."""
        owner_id = new_id()
        bench.store.renew(owner_id, LONG)
        return owner_id

    @pytest.fixture
    def active(self, bench: Bench, owner: str) -> Wedding:
        """A wedding of that owner's."""
        wedding = a_wedding(member_ids=("florist", "studio"))
        bench.add(wedding)
        return bench.store.activate(wedding.wedding_id, owner)

    def test_activation_loads_what_was_added(self, bench: Bench, owner: str) -> None:
        """A wedding taken over for the first time is empty, in its first epoch, with its members."""
        wedding = a_wedding(member_ids=("florist", "studio"))
        bench.add(wedding)
        active = bench.store.activate(wedding.wedding_id, owner)
        assert (active.epoch, active.sequence, dict(active.items)) == (1, 0, {})
        assert active.member_ids == ("florist", "studio")

    def test_unknown_wedding_is_said(self, bench: Bench, owner: str) -> None:
        """A wedding that does not exist cannot be activated."""
        with pytest.raises(UnknownWedding):
            bench.store.activate(new_id(), owner)

    def test_what_is_committed_is_loaded_again(self, bench: Bench, owner: str, active: Wedding) -> None:
        """The state after a commit is the state the next activation finds, tombstones included."""
        first, second = create("Ceremony"), create("Dance", source=vendor())
        commit = commit_of(active, [first, second, delete(first.item_id)], bench.store)
        assert active.wedding_id in bench.store.commit([commit])
        again = bench.store.activate(active.wedding_id, owner)
        assert again.sequence == 3
        assert dict(again.items) == dict(active.after(commit.batch).items)
        assert again.items[first.item_id].deleted

    def test_items_are_replaced_by_their_newest_state(
        self, bench: Bench, owner: str, active: Wedding
    ) -> None:
        """An item edited twice in one batch and again in the next ends as the last edit left it."""
        made = create("One")
        commit = commit_of(active, [made, update(made.item_id, {"title": "Two"})], bench.store)
        bench.store.commit([commit])
        moved = active.after(commit.batch)
        bench.store.commit([commit_of(moved, [update(made.item_id, {"title": "Three"})], bench.store)])
        assert bench.store.activate(active.wedding_id, owner).items[made.item_id].value("title") == "Three"

    def test_log_and_outbox_are_written_with_the_state(self, bench: Bench, active: Wedding) -> None:
        """Every logged change has one entry in the log and one fact for the gateway, with its trace."""
        changes = [create("One", trace_parent="00-aa"), create("Two")]
        bench.store.commit([commit_of(active, changes, bench.store)])
        log = bench.log(active.wedding_id)
        assert [entry.result.sequence for entry in log] == [1, 2]
        assert [entry.change.change_id for entry in log] == [change.change_id for change in changes]
        assert log[0].change.trace_parent == "00-aa"
        assert bench.outbox(active.wedding_id) == [(1, "gateway"), (2, "gateway")]

    def test_each_change_keeps_its_item_as_it_left_it(self, bench: Bench, active: Wedding) -> None:
        """Of several edits of one item in one batch each keeps its own state, of the deletion too."""
        made, other = create("One"), create("Other")
        edit = update(made.item_id, {"title": "Two"}, source=vendor())
        commit = commit_of(active, [made, other, edit, delete(made.item_id)], bench.store)
        bench.store.commit([commit])
        states = bench.states(active.wedding_id)
        assert states == [entry.item for entry in commit.batch.logged]
        assert [(state.value("title"), state.deleted) for state in states] == [
            ("One", False),
            ("Other", False),
            ("Two", False),
            ("Two", True),
        ]

    def test_collisions_are_told_to_the_conflicts_service_too(self, bench: Bench, active: Wedding) -> None:
        """A change that collides leaves a fact for each of the two who must hear of it."""
        made = create("One")
        late = update(made.item_id, {"title": "Other"}, source=vendor(), default_base=0)
        bench.store.commit([commit_of(active, [made, late], bench.store)])
        assert bench.outbox(active.wedding_id) == [(1, "gateway"), (2, "conflicts"), (2, "gateway")]

    def test_a_commit_with_a_known_change_writes_nothing(
        self, bench: Bench, owner: str, active: Wedding
    ) -> None:
        """One change id that was used before, and nothing of a batch is written; the next batch is."""
        made, more, other = create("One"), create("Two"), a_wedding(member_ids=("studio",))
        bench.store.commit([commit_of(active, [made], bench.store)])
        bench.add(other)
        again = bench.store.activate(active.wedding_id, owner)
        beside = bench.store.activate(other.wedding_id, owner)
        twice = again.plan([made, more], {})
        commits = [
            WeddingCommit(wedding=again, batch=twice, facts=facts_of(again, twice.logged)),
            commit_of(beside, [create("Three")], bench.store),
        ]
        with pytest.raises(KnownBefore):
            bench.store.commit(commits)
        assert (len(bench.log(active.wedding_id)), bench.log(other.wedding_id)) == (1, [])
        assert set(bench.store.commit([commit_of(again, [more], bench.store), commits[1]])) == {
            active.wedding_id,
            other.wedding_id,
        }

    def test_known_changes_are_found_with_their_first_result(self, bench: Bench, active: Wedding) -> None:
        """A change id, once committed, is found with result and commit time; others are not."""
        made = create("One")
        times = bench.store.commit([commit_of(active, [made], bench.store)])
        known = bench.store.find_keys({active.wedding_id: [made.change_id, new_id()]})[active.wedding_id]
        assert set(known) == {made.change_id}
        result = known[made.change_id].result
        assert (result.outcome, result.sequence) == (Outcome.APPLIED, 1)
        assert result.committed_at == times[active.wedding_id]

    def test_no_ops_are_remembered_but_not_logged(self, bench: Bench, active: Wedding) -> None:
        """A change that changes nothing keeps its id and takes no sequence."""
        made = create("One")
        same = update(made.item_id, {"title": "One"})
        bench.store.commit([commit_of(active, [made, same], bench.store)])
        known = bench.store.find_keys({active.wedding_id: [same.change_id]})[active.wedding_id]
        assert known[same.change_id].result.outcome is Outcome.UNCHANGED
        assert known[same.change_id].result.committed_at is None
        assert len(bench.log(active.wedding_id)) == 1

    def test_no_ops_alone_are_remembered_too(self, bench: Bench, active: Wedding) -> None:
        """A batch that logs nothing keeps its change ids and leaves the wedding as it is."""
        made = create("One")
        first = commit_of(active, [made], bench.store)
        bench.store.commit([first])
        for _ in range(3):  # the statement is prepared by then
            same = update(made.item_id, {"title": "One"})
            commit = commit_of(active.after(first.batch), [same], bench.store)
            assert set(bench.store.commit([commit])) == {active.wedding_id}
            assert (
                same.change_id
                in bench.store.find_keys({active.wedding_id: [same.change_id]})[active.wedding_id]
            )
        assert len(bench.log(active.wedding_id)) == 1

    def test_commit_time_never_goes_back(self, bench: Bench, active: Wedding) -> None:
        """A later commit of the same wedding has the same or a later time."""
        first = commit_of(active, [create("One")], bench.store)
        earlier = bench.store.commit([first])[active.wedding_id]
        second = commit_of(active.after(first.batch), [create("Two")], bench.store)
        assert bench.store.commit([second])[active.wedding_id] >= earlier

    def test_a_fenced_wedding_drops_out_alone(self, bench: Bench, owner: str, active: Wedding) -> None:
        """In a batch over two weddings the one that was taken over writes nothing, the other everything."""
        other = a_wedding()
        bench.add(other)
        kept = bench.store.activate(other.wedding_id, owner)
        bench.store.activate(active.wedding_id, owner)  # raises the epoch of the first
        commits = [commit_of(wedding, [create()], bench.store) for wedding in (active, kept)]
        assert set(bench.store.commit(commits)) == {kept.wedding_id}
        assert (len(bench.log(active.wedding_id)), len(bench.log(kept.wedding_id))) == (0, 1)
        assert bench.outbox(active.wedding_id) == []
        ids = {active.wedding_id: [commits[0].batch.results[0].change_id]}
        assert not bench.store.find_keys(ids).get(active.wedding_id)

    def test_what_writes_nothing_is_fenced_too(self, bench: Bench, owner: str, active: Wedding) -> None:
        """A batch that only refuses is confirmed while the wedding is still its planner's, and only then."""
        refusal = commit_of(active, [update(new_id(), {"title": "x"})], bench.store)
        assert set(bench.store.commit([refusal])) == {active.wedding_id}
        assert bench.log(active.wedding_id) == []
        bench.store.activate(active.wedding_id, owner)  # raises the epoch
        assert bench.store.commit([refusal]) == {}

    def test_an_unexpected_sequence_is_fenced(self, bench: Bench, active: Wedding) -> None:
        """A batch planned on an older sequence writes nothing, even in the right epoch."""
        stale = commit_of(active, [create("One")], bench.store)
        bench.store.commit([commit_of(active, [create("Two")], bench.store)])
        assert bench.store.commit([stale]) == {}

    def test_a_live_lease_is_not_taken(self, bench: Bench, owner: str, active: Wedding) -> None:
        """Another owner is told for how long it has to wait at most."""
        rival = new_id()
        bench.store.renew(rival, LONG)
        with pytest.raises(NotOwner) as refused:
            bench.store.activate(active.wedding_id, rival)
        assert refused.value.retry_after is not None
        assert 0 < refused.value.retry_after <= LONG
        assert refused.value.metadata == {OWNER: owner}

    def test_who_may_not_adopt_takes_only_its_own(self, bench: Bench, owner: str, active: Wedding) -> None:
        """Without `adopt` a wedding that is nobody's is refused, and the owner's own is loaded again."""
        free = a_wedding()
        bench.add(free)
        with pytest.raises(NotOwner) as refused:
            bench.store.activate(free.wedding_id, owner, adopt=False)
        assert refused.value.metadata == {}
        again = bench.store.activate(active.wedding_id, owner, adopt=False)
        assert again.epoch == active.epoch + 1

    def test_a_revoked_lease_is_never_renewed(self, bench: Bench, owner: str, active: Wedding) -> None:
        """A revoked owner is told so, and what is left of its lease still holds others off."""
        rival = new_id()
        bench.store.renew(rival, LONG)
        bench.revoke(owner)
        with pytest.raises(Revoked):
            bench.store.renew(owner, LONG)
        with pytest.raises(NotOwner):
            bench.store.activate(active.wedding_id, rival)
        bench.revoke(new_id())  # an owner that is gone already

    def test_an_ended_lease_is_taken_at_once(self, bench: Bench, owner: str, active: Wedding) -> None:
        """After its owner's end a wedding is taken over, and the old owner is fenced."""
        bench.store.end(owner)
        rival = new_id()
        bench.store.renew(rival, LONG)
        taken = bench.store.activate(active.wedding_id, rival)
        assert taken.epoch == active.epoch + 1
        assert bench.store.commit([commit_of(active, [create()], bench.store)]) == {}

    def test_an_owner_that_was_wrongly_called_dead_cannot_come_back(
        self, bench: Bench, owner: str, active: Wedding
    ) -> None:
        """Its weddings are taken over at once, and it learns that it has to leave."""
        bench.revoke(owner, dead=True)
        with pytest.raises(Revoked):
            bench.store.renew(owner, LONG)
        rival = new_id()
        bench.store.renew(rival, LONG)
        assert bench.store.activate(active.wedding_id, rival).epoch == active.epoch + 1
        bench.revoke(new_id(), dead=True)  # an owner that is gone already

    def test_a_lease_that_ran_out_is_taken(self, bench: Bench, active: Wedding) -> None:
        """A lease is over by the store's clock, whether its owner knows it or not."""
        short, late = new_id(), a_wedding()
        bench.add(late)
        bench.store.renew(short, 0.0)
        bench.store.activate(late.wedding_id, short)
        rival = new_id()
        bench.store.renew(rival, LONG)
        assert bench.store.activate(late.wedding_id, rival).epoch == 2

    def test_one_wedding_is_taken_instead_of_others(self, bench: Bench, owner: str, active: Wedding) -> None:
        """What an owner gives up for another wedding is anyone's, also when it cannot have that one."""
        rival, other = new_id(), a_wedding()
        bench.add(other)
        bench.store.renew(rival, LONG)
        taken = bench.store.activate(other.wedding_id, owner, instead_of=[active.wedding_id])
        assert (taken.wedding_id, taken.epoch) == (other.wedding_id, 1)
        assert bench.store.activate(active.wedding_id, rival).epoch == 2
        with pytest.raises(NotOwner):
            bench.store.activate(active.wedding_id, owner, instead_of=[other.wedding_id])
        assert bench.store.activate(other.wedding_id, rival).epoch == 2

    def test_a_released_wedding_is_anyones(self, bench: Bench, owner: str, active: Wedding) -> None:
        """Giving up needs no lease to end; what is not the owner's is left alone."""
        bench.store.release([active.wedding_id], new_id())
        rival = new_id()
        bench.store.renew(rival, LONG)
        with pytest.raises(NotOwner):
            bench.store.activate(active.wedding_id, rival)
        bench.store.release([active.wedding_id], owner)
        assert bench.store.activate(active.wedding_id, rival).epoch == 2

    def test_renewing_says_whether_there_was_a_gap(self, bench: Bench) -> None:
        """A lease is new at first, unbroken when renewed in time, and broken after it ran out."""
        owner = new_id()
        assert bench.store.renew(owner, LONG) is False
        assert bench.store.renew(owner, 0.0) is True
        assert bench.store.renew(owner, LONG) is False

    def test_two_owners_racing_never_both_write(self, bench: Bench) -> None:
        """Of two owners that commit on the same state at once exactly one succeeds."""
        wedding, owner = a_wedding(), new_id()
        bench.add(wedding)
        bench.store.renew(owner, LONG)
        active = bench.store.activate(wedding.wedding_id, owner)
        stores = [bench.store, bench.another()]
        commits = [commit_of(active, [create()], bench.store) for _ in stores]
        with ThreadPoolExecutor(2) as pool:
            won = list(pool.map(lambda pair: pair[0].commit([pair[1]]), zip(stores, commits, strict=True)))
        assert sorted(len(times) for times in won) == [0, 1]
        assert len(bench.log(wedding.wedding_id)) == 1
