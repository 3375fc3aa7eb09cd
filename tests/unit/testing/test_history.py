"""The checker of histories sees every promise that somebody breaks, and nothing where nobody does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from wedsync.errors import Overloaded, Unavailable
from wedsync.model.changes import (
    Change,
    ChangeKind,
    ChangeResult,
    FieldResult,
    FieldState,
    ItemState,
    Outcome,
    Source,
)
from wedsync.model.items import ItemKind
from wedsync.testing.history import Call, Entry, History, Reader, Recorder, violations

NOON = datetime(2027, 6, 12, 12, tzinfo=UTC)
ADA = Source(organization_id="studio", actor="ada")
CRM = Source(organization_id="studio", actor="sync", link_id="crm", record_id="r1")
APPLIED, UNCHANGED, CONFLICTED = Outcome.APPLIED, Outcome.UNCHANGED, Outcome.CONFLICTED


def change(change_id: str, kind: ChangeKind = ChangeKind.UPDATE, **but: object) -> Change:
    """Return a change of the one item there is."""
    known: dict[str, object] = {"item_id": "i", "item_kind": ItemKind.TIMELINE_EVENT, "source": ADA}
    return Change(change_id=change_id, kind=kind, **{**known, **but})  # type: ignore[arg-type]


def result(change_id: str, sequence: int, *fields: FieldResult, **but: object) -> ChangeResult:
    """Return what became of a change: applied, as many minutes past noon as its sequence, or else."""
    at = NOON + timedelta(minutes=sequence) if sequence else None
    known: dict[str, object] = {"outcome": APPLIED, "committed_at": at}
    return ChangeResult(change_id=change_id, sequence=sequence, fields=fields, **{**known, **but})  # type: ignore[arg-type]


def title(outcome: Outcome, revision: int, previous: str | None, proposed: str | None) -> FieldResult:
    """Return what became of the title."""
    return FieldResult(path="title", outcome=outcome, revision=revision, previous=previous, proposed=proposed)


@dataclass
class Story:
    """One item is made, edited, found to be so already, and edited in vain by who had not seen that."""

    calls: list[Call] = field(default_factory=list)
    log: list[Entry] = field(default_factory=list)
    items: dict[str, ItemState] = field(default_factory=dict)
    readers: list[Reader] = field(default_factory=list)

    def __post_init__(self) -> None:
        made = change("made", ChangeKind.CREATE, values={"title": "One"})
        edit = change("edit", values={"title": "Two"}, default_base=1)
        same = change("same", values={"title": "Two"}, default_base=2)
        late = change("late", values={"title": "Three"}, base={"title": 1}, source=CRM)
        self.say(made, result("made", 1, title(APPLIED, 1, None, "One")))
        self.say(edit, result("edit", 2, title(APPLIED, 2, "One", "Two")))
        self.say(same, result("same", 0, title(UNCHANGED, 2, "Two", "Two"), outcome=UNCHANGED))
        self.say(late, result("late", 3, title(CONFLICTED, 2, "Two", "Three"), outcome=CONFLICTED))
        self.readers.append(Reader(name="r", wedding_id="w", after=1, seen=[(2, "edit"), (3, "late")]))

    def say(self, said: Change, told: ChangeResult) -> None:
        """Add a call that was answered, and what the log and the state have of it."""
        at = 10.0 * len(self.calls)
        self.calls.append(
            Call(
                client=said.source.actor,
                wedding_id="w",
                changes=[said],
                invoked=at,
                returned=at + 5,
                results=[told],
            )
        )
        if told.sequence and told.outcome is not Outcome.DUPLICATE:
            self.log.append(Entry(change=said, result=told, epoch=1, owner="o"))

    def log_it(self, place: int, **but: object) -> None:
        """Have another result stand in the log."""
        self.log[place] = replace(self.log[place], result=replace(self.log[place].result, **but))  # type: ignore[arg-type]

    def answer(self, place: int, **but: object) -> None:
        """Have another result be told."""
        [told] = self.calls[place].results or []
        self.calls[place] = replace(self.calls[place], results=[replace(told, **but)])  # type: ignore[arg-type]

    def forget_answer(self, place: int) -> None:
        """Have a call never be answered."""
        self.calls[place] = replace(self.calls[place], results=None, returned=float("inf"))

    @property
    def wrong(self) -> list[str]:
        """What the checker says."""
        items = {"w": self.items} if self.items else {}
        return violations(History(calls=self.calls, logs={"w": self.log}, items=items, readers=self.readers))


def _lose(story: Story) -> None:
    story.log.pop()
    story.readers.clear()


def _double(story: Story) -> None:
    story.log.append(replace(story.log[1], result=replace(story.log[1].result, sequence=4)))


def _invent(story: Story) -> None:
    stranger = change("stranger", values={"title": "Four"})
    told = result("stranger", 4, title(APPLIED, 4, "Two", "Four"))
    story.log.append(Entry(change=stranger, result=told))


def _other_content(story: Story) -> None:
    story.log[1] = replace(story.log[1], change=replace(story.log[1].change, values={"title": "Else"}))
    story.log_it(1, fields=(title(APPLIED, 2, "One", "Else"),))


def _leave_out(story: Story) -> None:
    story.log_it(2, sequence=4)


def _turn_time_back(story: Story) -> None:
    story.log_it(2, committed_at=NOON)


def _lower_epoch(story: Story) -> None:
    story.log[1] = replace(story.log[1], epoch=2)


def _share_epoch(story: Story) -> None:
    story.log[2] = replace(story.log[2], owner="another")


def _overwrite(story: Story) -> None:
    story.log_it(2, outcome=APPLIED, fields=(title(APPLIED, 3, "Two", "Three"),))


def _collide(story: Story) -> None:
    story.log_it(1, outcome=CONFLICTED, fields=(title(CONFLICTED, 1, "One", "Two"),))


def _wrong_revision(story: Story) -> None:
    story.log_it(1, fields=(title(APPLIED, 1, "One", "Two"),))


def _wrong_previous(story: Story) -> None:
    story.log_it(1, fields=(title(APPLIED, 2, "Zero", "Two"),))


def _other_answer(story: Story) -> None:
    story.answer(1, fields=(title(APPLIED, 2, "One", "Else"),))


def _answer_of_another(story: Story) -> None:
    story.answer(1, change_id="made")


def _stale_answer(story: Story) -> None:
    story.answer(2, fields=(title(UNCHANGED, 1, "One", "One"),))


def _stale_refusal(story: Story) -> None:
    story.answer(2, outcome=Outcome.REJECTED, reason="UNKNOWN_ITEM", fields=())


def _refuse_reused(story: Story) -> None:
    story.answer(2, outcome=Outcome.REJECTED, reason="CHANGE_ID_REUSED", fields=())


def _refuse_and_apply(story: Story) -> None:
    story.calls[1] = replace(story.calls[1], results=None, refused=True)


def _new_again(story: Story) -> None:
    story.calls.append(replace(story.calls[1], invoked=90.0, returned=95.0))


def _refuse_what_was_accepted(story: Story) -> None:
    told = result("same", 0, outcome=Outcome.REJECTED, reason="ITEM_DELETED")
    story.say(story.calls[2].changes[0], told)


def _accept_reused(story: Story) -> None:
    other = replace(story.calls[2].changes[0], values={"title": "Else"})
    story.say(other, result("same", 0, outcome=Outcome.DUPLICATE))


def _reorder(story: Story) -> None:
    story.calls[0] = replace(story.calls[0], invoked=50.0, returned=55.0)


def _swap(story: Story) -> None:
    changes = [story.calls[3].changes[0], story.calls[1].changes[0]]
    del story.calls[3], story.calls[1]
    story.calls.append(Call(client="ada", wedding_id="w", changes=changes, invoked=10.0))


def _another_state(story: Story) -> None:
    life = FieldState(value=None, revision=1, source=ADA)
    titled = FieldState(value="Three", revision=2, source=ADA)
    item = ItemState(item_id="i", kind=ItemKind.TIMELINE_EVENT, life=life, fields={"title": titled})
    story.items["i"] = item


def _state_of_nothing(story: Story) -> None:
    _another_state(story)
    story.items["j"] = replace(story.items["i"], item_id="j")


def _read_back(story: Story) -> None:
    story.readers.append(Reader(name="b", wedding_id="w", after=0, seen=[(1, "made"), (1, "made")]))


def _read_past(story: Story) -> None:
    story.readers.append(Reader(name="b", wedding_id="w", after=1, seen=[(3, "late")]))


def _read_else(story: Story) -> None:
    story.readers.append(Reader(name="b", wedding_id="w", after=1, seen=[(2, "late")]))


def _log_nothing(story: Story) -> None:
    story.log.append(
        Entry(change=story.calls[2].changes[0], result=result("same", 4, title(UNCHANGED, 2, "Two", "Two")))
    )


BROKEN: Sequence[tuple[Callable[[Story], None], str]] = (
    (_lose, "it is lost"),
    (_double, "was applied twice"),
    (_invent, "was never sent"),
    (_other_content, "was never sent, or never with this content"),
    (_leave_out, "not dense"),
    (_turn_time_back, "commit time goes back"),
    (_lower_epoch, "the epoch falls from 2 to 1"),
    (_share_epoch, "two owners wrote in epoch 1"),
    (_overwrite, "title is applied, should be conflicted"),
    (_collide, "title is conflicted, should be applied"),
    (_wrong_revision, "names revision 1, should be 2"),
    (_wrong_previous, "'Zero' as the value before"),
    (_other_answer, "the log has"),
    (_answer_of_another, "results of other changes"),
    (_stale_answer, "true at no moment"),
    (_stale_refusal, "true at no moment"),
    (_refuse_reused, "and there is none"),
    (_refuse_and_apply, "told that it was refused"),
    (_new_again, "taken for new more than once"),
    (_refuse_what_was_accepted, "had been accepted, and was rejected"),
    (_accept_reused, "accepted with different contents"),
    (_reorder, "stands before it"),
    (_swap, "in one call, and stands after it"),
    (_another_state, "by the log it is"),
    (_state_of_nothing, "not in the log"),
    (_read_back, "went back or repeated itself"),
    (_read_past, "has a gap"),
    (_read_else, "saw late at 2"),
    (_log_nothing, "changes nothing"),
)


def test_a_history_in_which_all_is_well_has_no_violations() -> None:
    """Creation, edit, no-op and collision, all answered and read, break no promise."""
    assert Story().wrong == []


@pytest.mark.parametrize(("breaks", "words"), BROKEN, ids=lambda part: getattr(part, "__name__", ""))
def test_a_broken_promise_is_said(breaks: Callable[[Story], None], words: str) -> None:
    """Each way of tampering with a good history is named in plain words."""
    story = Story()
    breaks(story)
    assert [found for found in story.wrong if words in found] != []


def test_what_was_never_answered_may_have_happened_or_not() -> None:
    """A call without an answer is no violation, whether its change is in the log or nowhere."""
    happened = Story()
    happened.forget_answer(3)
    assert happened.wrong == []
    lost = Story()
    lost.forget_answer(3)
    _lose(lost)
    assert lost.wrong == []


def test_a_duplicate_says_what_the_first_one_did() -> None:
    """The same change sent again is answered with the first result, and with no other."""
    story = Story()
    again = replace(story.log[1].result, outcome=Outcome.DUPLICATE)
    story.say(story.calls[1].changes[0], again)
    assert story.wrong == []
    story.answer(4, sequence=1)
    assert any("the log has" in words for words in story.wrong)


def test_a_paused_wedding_takes_nothing_but_its_own_changes() -> None:
    """An edit in a pause is refused; that it is refused is true then, and applying it is wrong."""
    story = Story()
    pause = change("pause", item_id="w", item_kind=ItemKind.WEDDING, values={"paused": True})
    paused = FieldResult(path="paused", outcome=APPLIED, revision=4, proposed=True)
    story.say(pause, result("pause", 4, paused))
    edit = change("more", values={"title": "Four"})
    story.say(edit, result("more", 0, outcome=Outcome.REJECTED, reason="WEDDING_PAUSED: a storm"))
    assert story.wrong == []
    story.say(edit, result("more", 5, title(APPLIED, 5, "Two", "Four")))
    assert any("should have been refused: WEDDING_PAUSED" in words for words in story.wrong)


async def test_a_recorder_tells_answers_refusals_and_silence_apart() -> None:
    """What a caller was told is written down as it was; an error that may mean anything is no answer."""
    moments = iter(range(10))
    recorder = Recorder(lambda: float(next(moments)))
    made = change("made", ChangeKind.CREATE)

    async def ask(outcome: ChangeResult | Exception) -> None:
        async def apply() -> Sequence[ChangeResult]:
            if isinstance(outcome, Exception):
                raise outcome
            return [outcome]

        await recorder.call(apply, client="ada", wedding_id="w", changes=[made], refusals=(Overloaded,))

    await ask(result("made", 1))
    with pytest.raises(Overloaded):
        await ask(Overloaded())
    with pytest.raises(Unavailable):
        await ask(Unavailable())
    answered, refused, silent = recorder.calls
    assert (answered.results, answered.refused, answered.returned) == ([result("made", 1)], False, 1.0)
    assert (refused.results, refused.refused, refused.returned) == (None, True, 3.0)
    assert (silent.results, silent.refused, silent.returned) == (None, False, float("inf"))
