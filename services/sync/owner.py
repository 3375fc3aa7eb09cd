"""The owner of weddings: load, plan, commit, answer. The Ray actor is a thin shell round it.

What is held here is a cache of Postgres. Anything doubtful is dropped and read again: a fenced
wedding, a commit whose outcome is unknown, everything after a gap in the lease.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from services.sync.batch import Answer, Batch, Done, Stages
from services.sync.facts import Fact, facts_of
from services.sync.lease import Lease, lost
from services.sync.wedding import BatchPlan, KnownChange, Wedding
from wedsync.errors import NotOwner, WedSyncError
from wedsync.model.changes import Change, ChangeResult

OWNER = "owner"
"""Key in a `NotOwner`'s metadata: who owns the wedding instead."""

_FENCED_RETRY_SECONDS = 0.2

_Work = Mapping[str, Sequence[Change]]
"""Changes in their order, by wedding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeddingCommit:
    """What one wedding's part of a batch writes, if the wedding is still ours."""

    wedding: Wedding
    batch: BatchPlan
    facts: tuple[Fact, ...]


class KnownBefore(Exception):
    """Some change ids of a commit are known already: nothing of it was written."""


class OwnerStore(Protocol):
    """What an owner needs of the database. Every method raises `Unavailable` when it is out of reach.

    OWNER   one process; its lease covers all weddings it owns
    EPOCH   rises with every activation; a commit under an older one is fenced
    """

    def limit(self, seconds: float) -> None:
        """Have every statement from now on give up after this time, as `DeadlineExceeded`."""
        ...

    def renew(self, owner_id: str, seconds: float) -> bool:
        """Renew the owner's lease; False if it had run out before, or is new. Raises `Revoked`."""
        ...

    def end(self, owner_id: str) -> None:
        """End the owner's lease now: its weddings may be taken over at once."""
        ...

    def activate(
        self, wedding_id: str, owner_id: str, *, adopt: bool = True, instead_of: Sequence[str] = ()
    ) -> Wedding:
        """Take the wedding over, raising its epoch, and load it; without `adopt` only if it is the owner's.

        Before that it releases others, whether or not the wedding can be taken then. Raises `UnknownWedding`,
        and `NotOwner`, which names the owner while another's lease runs.
        """
        ...

    def release(self, wedding_ids: Iterable[str], owner_id: str) -> None:
        """Give up those of the weddings that are still the owner's."""
        ...

    def find_keys(self, asked: Mapping[str, Iterable[str]]) -> Mapping[str, Mapping[str, KnownChange]]:
        """Return, by wedding, which of the asked change ids are known and what became of them."""
        ...

    def commit(self, commits: Sequence[WeddingCommit]) -> Mapping[str, datetime]:
        """Write all parts in one transaction; return the commit time of those that were not fenced.

        Raises `KnownBefore`. After any other error the outcome is unknown.
        """
        ...


class Owner:
    """Holds up to `capacity` weddings and applies batches to them, one at a time."""

    def __init__(
        self,
        *,
        owner_id: str,
        store: OwnerStore,
        lease: Lease,
        capacity: int = 1,
        nanoseconds: Callable[[], int] = time.time_ns,
    ) -> None:
        self._owner_id, self._store, self._lease = owner_id, store, lease
        self._capacity, self._nanoseconds = capacity, nanoseconds
        self._held: OrderedDict[str, Wedding] = OrderedDict()
        self._leaving: list[str] = []
        """Not held any more, and to be released before the next one is taken over."""
        self._term = -1
        self._activations = self._fenced = self._received = self._planned = 0

    @property
    def holding(self) -> tuple[str, ...]:
        """Return the ids of the weddings held, least recently used first."""
        return tuple(self._held)

    def apply(self, batch: Batch) -> Answer:
        """Apply the batch; each wedding fares by itself, unless the database is out of reach."""
        self._activations = self._fenced = 0
        self._received = self._planned = self._nanoseconds()
        try:
            done = self._apply(batch)
        except WedSyncError as error:
            done = {wedding_id: Done(error=error) for wedding_id in batch.work}
        return Answer(
            pid=os.getpid(),
            stages=Stages(received=self._received, planned=self._planned, committed=self._nanoseconds()),
            done=done,
            activations=self._activations,
            fenced=self._fenced,
        )

    def _apply(self, batch: Batch) -> dict[str, Done]:
        self._store.limit(batch.seconds)
        self._trust_only_this_term()
        self._let_go(batch.release)
        done: dict[str, Done] = {}
        ready = self._active(batch, done)
        self._release()
        try:
            self._finish(self._plan_as_new(ready), done)
        except KnownBefore:
            self._finish(self._plan_after_look(ready), done)
        if not self._lease.holds() or self._lease.term != self._term:
            # What was written is safe behind the fence. Refusals were judged by state that may be old.
            raise lost()
        return done

    def passivate(self, wedding_ids: Iterable[str]) -> None:
        """Let go of the weddings, whether they are held here or only still ours in the database."""
        self._let_go(wedding_ids)
        self._release()

    def retire(self) -> None:
        """Let go of everything, so that others need not wait for the lease to end."""
        self._held.clear()
        self._store.end(self._owner_id)

    def _trust_only_this_term(self) -> None:
        term = self._lease.require()
        if term != self._term:
            self._held.clear()
            self._term = term

    def _active(self, batch: Batch, done: dict[str, Done]) -> dict[str, Sequence[Change]]:
        ready = {}
        for wedding_id, changes in batch.work.items():
            try:
                self._activate(wedding_id, keep=batch.work.keys(), adopt=batch.adopt)
            except WedSyncError as error:
                done[wedding_id] = Done(error=error)
            else:
                ready[wedding_id] = changes
        return ready

    def _activate(self, wedding_id: str, *, keep: Iterable[str], adopt: bool) -> None:
        if wedding_id in self._held:
            self._held.move_to_end(wedding_id)
            return
        idle = [held for held in self._held if held not in keep]
        # A batch over more weddings than there is room for holds them all until it is done.
        self._let_go(idle[: max(0, len(self._held) + 1 - self._capacity)])
        leaving, self._leaving = self._leaving, []
        self._held[wedding_id] = self._store.activate(
            wedding_id, self._owner_id, adopt=adopt, instead_of=leaving
        )
        self._activations += 1

    def _let_go(self, wedding_ids: Iterable[str]) -> None:
        for wedding_id in wedding_ids:
            self._held.pop(wedding_id, None)
            self._leaving.append(wedding_id)

    def _release(self) -> None:
        leaving, self._leaving = self._leaving, []
        if leaving:
            self._store.release(leaving, self._owner_id)

    def _plan_as_new(self, ready: _Work) -> dict[str, BatchPlan]:
        """Plan without looking change ids up: nearly all are new, and the commit itself sees if one is not.

        Only a refusal writes no id down, so that nothing would show that the change was applied before.
        """
        plans = self._plan(ready, {})
        refusing = {wedding_id: ready[wedding_id] for wedding_id, plan in plans.items() if plan.refuses}
        return plans | self._plan_after_look(refusing) if refusing else plans

    def _plan_after_look(self, ready: _Work) -> dict[str, BatchPlan]:
        asked = {wedding_id: [c.change_id for c in changes] for wedding_id, changes in ready.items()}
        return self._plan(ready, self._store.find_keys(asked))

    def _plan(self, ready: _Work, known: Mapping[str, Mapping[str, KnownChange]]) -> dict[str, BatchPlan]:
        plans = {
            wedding_id: self._held[wedding_id].plan(changes, known.get(wedding_id, {}))
            for wedding_id, changes in ready.items()
        }
        self._planned = self._nanoseconds()
        return plans

    def _finish(self, plans: Mapping[str, BatchPlan], done: dict[str, Done]) -> None:
        commits = [
            WeddingCommit(
                wedding=self._held[wedding_id],
                batch=plan,
                facts=facts_of(self._held[wedding_id], plan.logged),
            )
            for wedding_id, plan in plans.items()
            if plan.judged
        ]
        times = self._commit(commits) if commits else {}
        for commit in commits:
            wedding_id = commit.wedding.wedding_id
            done[wedding_id] = self._conclude(commit, times.get(wedding_id))
        for wedding_id, plan in plans.items():
            done.setdefault(wedding_id, Done(results=plan.results))
        self._fenced = len(commits) - len(times)

    def _commit(self, commits: Sequence[WeddingCommit]) -> Mapping[str, datetime]:
        try:
            return self._store.commit(commits)
        except KnownBefore:
            raise
        except BaseException:
            # It may have happened: whoever repeats finds the change ids, or not.
            for commit in commits:
                self._held.pop(commit.wedding.wedding_id, None)
            raise

    def _conclude(self, commit: WeddingCommit, committed_at: datetime | None) -> Done:
        wedding = commit.wedding
        if committed_at is None:
            self._held.pop(wedding.wedding_id, None)
            return Done(error=NotOwner(retry_after=_FENCED_RETRY_SECONDS))
        self._held[wedding.wedding_id] = wedding.after(commit.batch)
        return Done(
            results=tuple(_dated(result, committed_at) for result in commit.batch.results),
            facts=tuple(replace(fact, committed_at=committed_at) for fact in commit.facts),
        )


def _dated(result: ChangeResult, committed_at: datetime) -> ChangeResult:
    # A repeated change keeps the time of the first.
    fresh = result.sequence and result.committed_at is None
    return replace(result, committed_at=committed_at) if fresh else result
