"""A wedding that is paused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.sync.facts import facts_of
from services.sync.pause import RETRY_SECONDS, paused_because, pausing, require_let_through, resuming
from services.sync.rewind import author_of
from services.sync.wedding import BatchPlan, KnownChange, Wedding
from tests.unit.sync.builders import PLANNER, a_wedding, create, update, vendor
from wedsync.errors import WeddingPaused
from wedsync.model.changes import Change, Outcome
from wedsync.model.ids import new_id


class Story:
    """A wedding whose batches are committed as they come."""

    def __init__(self) -> None:
        self.wedding: Wedding = a_wedding()
        self.batch: BatchPlan
        self.known: dict[str, KnownChange] = {}

    def take(self, *changes: Change) -> list[Outcome]:
        """Plan and commit a batch; return what became of each change."""
        self.batch = self.wedding.plan(changes, self.known)
        self.wedding = self.wedding.after(self.batch)
        self.known |= self.batch.remember
        return [result.outcome for result in self.batch.results]

    def pausing(self, reason: str = "The marquee burned down") -> Change:
        """Return a change that pauses the wedding."""
        return pausing(self.wedding.wedding_id, new_id(), reason, PLANNER, "")

    def resuming(self) -> Change:
        """Return a change that has it go on."""
        return resuming(self.wedding.wedding_id, new_id(), PLANNER, "")

    @property
    def paused(self) -> str | None:
        """Why it is paused."""
        return paused_because(self.wedding.items.get(self.wedding.wedding_id))


def test_pausing_and_resuming_are_logged() -> None:
    """Each takes a sequence, says what was before, and has its effect; the reason is gone afterwards."""
    story = Story()
    assert story.take(story.pausing("Rain")) == [Outcome.APPLIED]
    assert story.paused == "Rain"
    assert [(f.path, f.previous, f.proposed) for f in story.batch.logged[0].result.fields] == [
        ("paused", None, True),
        ("pause_reason", None, "Rain"),
    ]
    assert story.take(story.resuming()) == [Outcome.APPLIED]
    assert story.wedding.sequence == 2
    assert story.paused is None


def test_saying_it_again_does_nothing() -> None:
    """Pausing what is paused keeps the first reason, resuming what is not paused changes nothing."""
    story = Story()
    assert story.take(story.resuming()) == [Outcome.UNCHANGED]
    story.take(story.pausing("Rain"))
    assert story.take(story.pausing("Snow")) == [Outcome.UNCHANGED]
    assert (story.paused, story.wedding.sequence) == ("Rain", 1)


def test_a_repeated_request_is_one() -> None:
    """A pause that was repeated after somebody resumed the wedding does not pause it again."""
    story = Story()
    pause = story.pausing()
    story.take(pause, story.resuming())
    assert story.take(pause) == [Outcome.DUPLICATE]
    assert story.paused is None
    other = replace(pause, values={**pause.values, "pause_reason": "Another"})
    assert story.take(other) == [Outcome.REJECTED]


def test_a_paused_wedding_turns_changes_away() -> None:
    """Whoever changes it is told why, nothing is logged or remembered, and once it goes on it is taken."""
    story = Story()
    made = create("One", source=vendor())
    story.take(story.pausing("Rain"))
    assert story.take(made) == [Outcome.REJECTED]
    assert (story.batch.logged, dict(story.batch.remember)) == ((), {})
    with pytest.raises(WeddingPaused, match=r"\(Rain\)") as refused:
        require_let_through(story.batch.results)
    assert refused.value.retry_after == RETRY_SECONDS
    story.take(story.resuming())
    assert story.take(made) == [Outcome.APPLIED]


def test_what_came_before_the_pause_is_answered() -> None:
    """In one batch, changes before the pause are applied; afterwards they are duplicates, not refused."""
    story = Story()
    before, after = create("One"), create("Two")
    assert story.take(before, story.pausing(), after) == [
        Outcome.APPLIED,
        Outcome.APPLIED,
        Outcome.REJECTED,
    ]
    assert story.take(before) == [Outcome.DUPLICATE]
    require_let_through(story.batch.results)


def test_a_rewind_is_let_through() -> None:
    """A paused wedding can be rewound, which is what it may have been paused for."""
    story = Story()
    made = create("One")
    story.take(made, story.pausing())
    assert story.take(update(made.item_id, {"title": "Two"}, source=author_of(PLANNER, 0))) == [
        Outcome.APPLIED
    ]


def test_nobody_is_told_of_a_pause() -> None:
    """No vendor keeps it and nobody disagrees about it: no fact leaves for another service."""
    story = Story()
    wedding = story.wedding
    story.take(create("One"), story.pausing())
    assert [fact.sequence for fact in facts_of(wedding, story.batch.logged)] == [1]


def test_other_refusals_are_no_pause() -> None:
    """A change that makes no sense by itself is answered as such."""
    story = Story()
    story.take(update("nobody", {"title": "x"}))
    require_let_through(story.batch.results)
