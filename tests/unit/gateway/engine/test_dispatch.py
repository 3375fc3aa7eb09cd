"""Translated changes on their way, and what the answer teaches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from services.gateway.dispatch import Dispatcher
from services.gateway.records import Shadow
from services.gateway.store.inbound import Activity, Cause
from tests.support.gateway_fakes import MemoryActivities, by_table
from tests.support.gateway_memory import ActivityRow, Memory
from tests.support.gateway_vendor import EVENT
from wedsync import errors
from wedsync.client import SyncClient
from wedsync.model.changes import Change, ChangeKind, ChangeResult, Outcome, Source


class FakeSync(SyncClient):
    """Answers by change id, with an outcome or an error."""

    def __init__(self, answer: Callable[[Sequence[str]], Outcome]) -> None:
        self.answer = answer
        self.batches: list[list[str]] = []

    async def apply_changes(
        self, wedding_id: str, changes: Sequence[Change], **options: Any
    ) -> list[ChangeResult]:
        """Answer."""
        ids = [change.change_id for change in changes]
        self.batches.append(ids)
        outcome = self.answer(ids)
        return [ChangeResult(change_id=change_id, outcome=outcome, sequence=1) for change_id in ids]


class Stage:
    """A dispatcher with changes that wait."""

    def __init__(self, answer: Callable[[Sequence[str]], Outcome], names: str, weddings: str = "w") -> None:
        self.memory, self.sync, self.corrected = Memory(), FakeSync(answer), list[int]()
        for name in names:
            for wedding in weddings:
                self._add(name, wedding)
        store = MemoryActivities(self.memory)
        self.dispatcher = Dispatcher(
            store=store,
            changes=by_table(lambda limit, _: store.claim(limit)),
            sync=self.sync,
            on_corrected=lambda: self.corrected.append(1),
        )

    def _add(self, name: str, wedding: str) -> None:
        item = f"{name}{wedding}"
        change = Change(
            change_id=item,
            item_id=item,
            item_kind=EVENT,
            kind=ChangeKind.UPDATE,
            source=Source(organization_id="studio", actor="desk", link_id="l"),
        )
        activity = Activity(
            organization_id="studio",
            wedding_id=wedding,
            link_id="l",
            item_id=item,
            change=change,
            attempts=1,
        )
        cause = Cause(trace_parent="", detected_at=datetime(2027, 1, 1, tzinfo=UTC))
        self.memory.activities.append(ActivityRow(activity=activity, generation=1, cause=cause))
        self.memory.shadows["l", item] = Shadow(link_id="l", item_id=item, kind=EVENT)

    async def send(self) -> list[str]:
        """Send everything that waits; return what became of each change."""
        for batch in await self.dispatcher.claim(10):
            await self.dispatcher.send(batch)
        return [row.state for row in self.memory.activities]


def failing(error: errors.WedSyncError, *, only: str = "") -> Callable[[Sequence[str]], Outcome]:
    """Raise for every batch, or for those that hold the change named."""

    def answer(ids: Sequence[str]) -> Outcome:
        if not only or only in ids:
            raise error
        return Outcome.APPLIED

    return answer


async def test_each_weddings_changes_travel_together() -> None:
    """There is one call per wedding; where nothing is to be corrected nothing is due."""
    stage = Stage(lambda _: Outcome.APPLIED, "ab", weddings="wv")
    assert await stage.send() == ["applied"] * 4
    assert stage.sync.batches == [["av", "bv"], ["aw", "bw"]]
    assert stage.corrected == []
    assert stage.memory.deliveries == {}


@pytest.mark.parametrize(
    "error",
    [
        errors.Unavailable(retry_after=7.0),
        errors.Overloaded(),
        errors.WeddingPaused(retry_after=5.0),
        errors.NotFound(),
        errors.Unauthenticated(),
        errors.PermissionDenied(),
        errors.WedSyncError(),
    ],
)
async def test_trouble_that_is_not_the_changes_own_costs_no_edit(error: errors.WedSyncError) -> None:
    """Whatever is wrong on our side, the change waits and is sent again."""
    stage = Stage(failing(error), "ab")
    assert await stage.send() == ["pending", "pending"]
    assert all(row.seconds > 0 and error.reason in row.reason for row in stage.memory.activities)
    assert error.retry_after is None or stage.memory.activities[0].seconds == error.retry_after
    assert stage.memory.deliveries == {}


async def test_a_batch_with_a_bad_change_is_split() -> None:
    """The bad one alone is refused, and its vendor is corrected; the others go through."""
    stage = Stage(failing(errors.InvalidRequest(), only="bw"), "abc")
    assert await stage.send() == ["applied", "rejected", "applied"]
    assert stage.sync.batches == [["aw", "bw", "cw"], ["aw"], ["bw"], ["cw"]]
    [correction] = stage.memory.deliveries.values()
    assert correction.key.item_id == "bw"


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.SUPERSEDED])
async def test_a_vendor_whose_edit_lost_is_corrected(outcome: Outcome) -> None:
    """What shows something else than the truth is made due."""
    stage = Stage(lambda _: outcome, "a")
    await stage.send()
    assert len(stage.memory.deliveries) == 1


async def test_a_conflict_is_held_not_corrected() -> None:
    """While a disagreement is open, the vendor keeps showing its side."""
    stage = Stage(lambda _: Outcome.CONFLICTED, "a")
    await stage.send()
    assert stage.memory.deliveries == {}
