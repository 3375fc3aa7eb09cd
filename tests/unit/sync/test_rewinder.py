"""A rewind as a whole: what is read, sent and answered, also where it breaks off."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from services.sync.rewind import Rewinding, Versions, author_of
from services.sync.rewinder import MOST_TOGETHER, rewind
from tests.unit.sync.builders import PLANNER, create, update
from tests.unit.sync.past import Past
from wedsync.errors import ChangeIdReused, FailedPrecondition, Unavailable
from wedsync.model.changes import Change, ChangeResult, Outcome
from wedsync.model.ids import new_id


class Stage:
    """A past, an owner that can be lost, and what was kept of rewinds."""

    def __init__(self) -> None:
        self.past, self.begun = Past(), dict[str, tuple[bytes, int]]()
        self.sent: list[int] = []
        self.lost_after: int | None = None
        """The submission after which nobody answers any more."""

    async def begin_rewind(
        self, wedding_id: str, request_id: str, *, viewer: str | None, then: int, mark: bytes | None
    ) -> int:
        """Begin, or find what was begun."""
        now = self.past.wedding.sequence
        if mark is None:
            return now
        known, now = self.begun.setdefault(request_id, (mark, now))
        if known != mark:
            raise ChangeIdReused
        return now

    async def versions(self, wedding_id: str, asked: Rewinding, *, viewer: str | None) -> Sequence[Versions]:
        """Look back."""
        return self.past.versions(asked)

    async def apply(self, changes: Sequence[Change]) -> Sequence[ChangeResult]:
        """Apply, and perhaps be lost before the answer is out."""
        self.sent.append(len(changes))
        results = self.past.take(*changes)
        if self.lost_after == len(self.sent):
            raise Unavailable
        return results

    async def rewind(self, then: int, request_id: str = "", *, dry_run: bool = False) -> list[ChangeResult]:
        """Rewind the wedding."""
        asked = Rewinding(
            request_id=request_id or new_id(), then=then, now=0, author=author_of(PLANNER, then)
        )
        done = await rewind(self, "w", asked, viewer=None, apply=None if dry_run else self.apply)
        return list(done.results)


async def test_a_rewind_that_broke_off_goes_on_where_it_stopped() -> None:
    """After a crash between submissions the same request does the rest, and nothing twice."""
    stage, request = Stage(), new_id()
    stage.past.take(*(create(f"Event {number}") for number in range(1200)))
    stage.lost_after = 2
    with pytest.raises(Unavailable):
        await stage.rewind(0, request)
    assert stage.past.wedding.sequence == 1200 + 2 * MOST_TOGETHER
    results = await stage.rewind(0, request)
    assert stage.sent == [500, 500, 500, 500, 200]
    assert [result.outcome for result in results] == [Outcome.DUPLICATE] * 1000 + [Outcome.APPLIED] * 200
    assert stage.past.visible() == {}
    assert stage.past.wedding.sequence == 2400


async def test_what_was_edited_after_it_broke_off_is_not_lost() -> None:
    """The rest still names what was read at first: an edit made meanwhile collides and stays."""
    stage, request = Stage(), new_id()
    made = sorted((create(f"Event {number}") for number in range(501)), key=lambda change: change.item_id)
    stage.past.take(*made)
    stage.lost_after = 1
    with pytest.raises(Unavailable):
        await stage.rewind(0, request)
    stage.past.take(update(made[-1].item_id, {"notes": "kept"}))
    results = await stage.rewind(0, request)
    assert results[-1].outcome is Outcome.CONFLICTED
    assert stage.past.visible() == {made[-1].item_id: {"title": made[-1].values["title"], "notes": "kept"}}


async def test_a_dry_run_keeps_and_sends_nothing() -> None:
    """It may be followed by the rewind itself under the same id."""
    stage, request = Stage(), new_id()
    stage.past.take(create())
    assert await stage.rewind(0, request, dry_run=True) == []
    assert (stage.sent, stage.begun) == ([], {})
    assert len(await stage.rewind(0, request)) == 1


async def test_nothing_to_do_sends_nothing() -> None:
    """A wedding that is as it was then needs no submission."""
    stage = Stage()
    stage.past.take(create())
    assert await stage.rewind(1) == []
    assert stage.sent == []


async def test_what_could_not_be_told_is_not_done() -> None:
    """A rewind whose answer would not fit a message is refused before anything is sent."""
    stage = Stage()
    made = [create(f"Event {number}", values={"title": "t"}) for number in range(200)]
    stage.past.take(*made)
    stage.past.take(*(update(each.item_id, {"notes": "n" * 20_000}) for each in made))
    with pytest.raises(FailedPrecondition, match="in steps"):
        await stage.rewind(200)
    assert stage.sent == []
