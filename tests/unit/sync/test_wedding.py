"""A wedding as a state machine."""

from __future__ import annotations

from dataclasses import replace

from services.sync.facts import Destination, facts_of
from services.sync.wedding import CHANGE_ID_REUSED, fingerprint
from tests.unit.sync.builders import a_wedding, create, delete, update, vendor
from wedsync.model.changes import Outcome, Priority


def test_logged_changes_take_one_sequence_each() -> None:
    """Applied and colliding changes take the next sequence; no-ops, refusals and duplicates none."""
    made = create("One")
    batch = a_wedding(sequence=4).plan(
        [
            made,
            update(made.item_id, {"title": "One"}),
            update("nobody", {"title": "x"}),
            made,
            update(made.item_id, {"title": "Two"}, source=vendor(), default_base=0),
        ],
        {},
    )
    assert [(r.outcome, r.sequence) for r in batch.results] == [
        (Outcome.APPLIED, 5),
        (Outcome.UNCHANGED, 0),
        (Outcome.REJECTED, 0),
        (Outcome.DUPLICATE, 5),
        (Outcome.CONFLICTED, 6),
    ]
    assert (batch.expected_sequence, batch.sequence) == (4, 6)
    assert len(batch.remember) == 3


def test_a_plan_changes_nothing() -> None:
    """Planning leaves the wedding as it was; only `after` moves on."""
    wedding = a_wedding()
    batch = wedding.plan([create("One")], {})
    assert (wedding.sequence, dict(wedding.items)) == (0, {})
    assert wedding.after(batch).sequence == 1


def test_an_id_used_for_something_else_is_refused() -> None:
    """The same change id with other content is rejected by name; the first stays."""
    made = create("One")
    other = replace(made, values={"title": "Two"})
    batch = a_wedding().plan([made, other], {})
    assert (batch.results[1].outcome, batch.results[1].reason) == (Outcome.REJECTED, CHANGE_ID_REUSED)
    assert len(batch.logged) == 1


def test_a_fingerprint_is_of_the_content_alone() -> None:
    """Priority and trace belong to the try; a repeated change has the same fingerprint."""
    made = create("One")
    assert fingerprint(made) == fingerprint(replace(made, priority=Priority.BULK, trace_parent="00-x"))
    assert fingerprint(made) != fingerprint(replace(made, default_base=1))


def test_a_collision_is_told_when_it_is_logged_and_not_again() -> None:
    """A later change of the same item tells the gateway, not the conflicts service once more."""
    made = create("One")
    wedding = a_wedding()
    batch = wedding.plan(
        [
            made,
            update(made.item_id, {"title": "Two"}, source=vendor(), default_base=0),
            update(made.item_id, {"notes": "n"}),
            delete(made.item_id, source=vendor("other", "r2"), default_base=0),
        ],
        {},
    )
    told = [(fact.sequence, fact.destination) for fact in facts_of(wedding, batch.logged)]
    assert told == [
        (1, Destination.GATEWAY),
        (2, Destination.GATEWAY),
        (2, Destination.CONFLICTS),
        (3, Destination.GATEWAY),
        (4, Destination.GATEWAY),
        (4, Destination.CONFLICTS),
    ]
