"""A conflict is put so that people see both sides, who wants which, and how it went."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.conflicts.acts import Act, changes_of
from services.conflicts.conflict import Choice, Claim, Collision, Conflict, Decision, State
from services.conflicts.words import outcome, question, said, summary
from wedsync.model.changes import Source
from wedsync.model.ids import new_id
from wedsync.model.items import ItemKind

_TAVE = Source(organization_id="o", actor="tave", link_id="l1", vendor="tave")
_CALENDAR = Source(organization_id="o", actor="cal", link_id="l2", vendor="apple_calendar")
_COLLISION = Collision(
    wedding_id=new_id(),
    sequence=3,
    item_id=new_id(),
    item_kind=ItemKind.TIMELINE_EVENT,
    path="starts_at",
    current=Claim(value="10:00", source=_TAVE),
    proposed=Claim(value="10:30", source=_CALENDAR),
    committed_at=datetime(2027, 1, 1, tzinfo=UTC),
    organization_ids=("o",),
)
_LIFE = replace(
    _COLLISION,
    path="deleted_at",
    current=Claim(value=True, source=_TAVE),
    proposed=Claim(value=None, source=_CALENDAR, values={"title": "Late dance"}),
)
_OPEN = Conflict(conflict_id=new_id(), collision=_COLLISION, state=State.OPEN)
_BY_ADA = Decision(choice=Choice.PROPOSED, value="10:30", source=Source(organization_id="o", actor="ada"))


def test_the_question_names_both_sides() -> None:
    """Both values and who wants each are there, and which stays for now."""
    assert question(_COLLISION) == (
        "Which starts at is right for this timeline event?\n"
        "tave (stays for now): 10:00\n"
        "apple_calendar: 10:30"
    )


def test_a_question_of_life_says_what_was_edited() -> None:
    """Whoever decides about a delete sees the edit that would be lost."""
    assert question(_LIFE).splitlines()[1:] == [
        "tave: deleted",
        "apple_calendar: kept, with title Late dance",
    ]
    assert "kept (apple_calendar)" in summary(
        replace(_OPEN, collision=replace(_LIFE, proposed=Claim(value=None, source=_CALENDAR)))
    )


@pytest.mark.parametrize(
    ("decision", "by"),
    [
        (_BY_ADA, ", by ada."),
        (
            replace(_BY_ADA, source=Source(organization_id="o", actor="U1", vendor="slack")),
            ", by U1 in slack.",
        ),
        (replace(_BY_ADA, source=None, policy="till_first"), ", by the rule till_first."),
        (None, ", by apple_calendar."),
    ],
    ids=["person", "person in a vendor's system", "policy", "nobody here"],
)
def test_the_outcome_says_who_decided(decision: Decision | None, by: str) -> None:
    """A person, a rule, or the edit that settled it is named with the value."""
    final = Claim(value="10:30", source=_CALENDAR)
    over = replace(_OPEN, state=State.RESOLVED, final=final, decision=decision)
    assert outcome(over) == f"The question about the starts at of this timeline event is settled: 10:30{by}"
    assert summary(over) == outcome(over)


def test_what_took_its_place_is_said() -> None:
    """A superseded conflict points to the newer one."""
    assert "out of date" in outcome(replace(_OPEN, state=State.SUPERSEDED))
    gone = replace(_OPEN, collision=_LIFE, state=State.RESOLVED, final=Claim(value=True, source=_TAVE))
    assert "settled: deleted" in outcome(gone)


def test_the_summary_follows_the_conflict() -> None:
    """Open, decided and stuck read differently."""
    assert summary(_OPEN).endswith("? The first stays until somebody decides.")
    decided = replace(_OPEN, state=State.DECIDED, decision=_BY_ADA)
    assert summary(decided).endswith("Decided, by ada; on its way to every vendor.")
    assert summary(replace(decided, trouble="No wedding.")).endswith("could not be carried out: No wedding.")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "(nothing)"),
        ((), "(nothing)"),
        (("a", "b"), "a, b"),
        (False, "False"),
        ("x" * 400, "x" * 299 + "…"),
    ],
    ids=["none", "empty", "tags", "flag", "long"],
)
def test_a_value_is_shown_within_bounds(value: object, shown: str) -> None:
    """Empty values are named, long ones cut."""
    assert said(value) == shown  # type: ignore[arg-type]


@pytest.mark.parametrize("state", [State.OPEN, State.DECIDED, State.RESOLVED, State.SUPERSEDED])
@pytest.mark.parametrize("act", list(Act))
def test_an_act_is_done_only_while_it_is_needed(act: Act, state: State) -> None:
    """Asked is while it is open, decided while it is not over, told how it ended once it has."""
    decision = _BY_ADA if state is State.DECIDED else None
    conflict = replace(_OPEN, state=state, decision=decision, final=Claim(value="10:30", source=_TAVE))
    needed = {
        Act.ANNOUNCE: {State.OPEN},
        Act.DECIDE: {State.DECIDED},
        Act.CONCLUDE: {State.RESOLVED, State.SUPERSEDED},
    }
    assert bool(changes_of(act, conflict)) == (state in needed[act])
