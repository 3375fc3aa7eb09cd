"""What a rewind changes, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from services.sync.filters import SourceFilter
from services.sync.rewind import author_of, fingerprint, is_rewind
from tests.unit.sync.builders import PLANNER, create, delete, restore, update, vendor
from tests.unit.sync.past import Past
from wedsync.model.changes import PAYMENT_PROCESSOR, ChangeKind, Outcome, Source
from wedsync.model.items import LIFE, ItemKind

TAVE, CAL = vendor("tave", "event/1"), vendor("cal", "uid-1")
STRIPE = Source(
    organization_id="studio",
    actor="integration",
    link_id="stripe",
    vendor="stripe",
    record_id="pi_1",
    category=PAYMENT_PROCESSOR,
)
BY_TAVE = SourceFilter(vendor="tave")


def payment(**but: Any) -> dict[str, Any]:
    """Return what a change of a payment needs besides its values."""
    return {"item_kind": ItemKind.PAYMENT, "source": STRIPE, **but}


def test_each_item_goes_back_by_itself() -> None:
    """Edited fields get their old value, what was born since goes, what was deleted comes back as it was."""
    past = Past()
    edited, gone = create("Toast"), create("Dance")
    past.take(edited, gone)
    born = create("Fireworks")
    past.take(update(edited.item_id, {"title": "Speech", "notes": "long"}), delete(gone.item_id), born)
    planned, results = past.rewind(2)
    kinds = {(change.item_id, change.kind): dict(change.values) for change in planned.changes}
    assert kinds == {
        (edited.item_id, ChangeKind.UPDATE): {"title": "Toast", "notes": None},
        (gone.item_id, ChangeKind.RESTORE): {},
        (born.item_id, ChangeKind.DELETE): {},
    }
    assert {result.outcome for result in results} == {Outcome.APPLIED}
    assert past.visible() == past.visible(2)
    assert planned.kept == ()


def test_an_item_edited_before_it_was_deleted_comes_back_with_its_old_values() -> None:
    """It is restored first, then its values are set."""
    past = Past()
    made = create("Toast")
    past.take(made, update(made.item_id, {"title": "Speech"}), delete(made.item_id))
    planned, _ = past.rewind(1)
    assert [change.kind for change in planned.changes] == [ChangeKind.RESTORE, ChangeKind.UPDATE]
    assert past.visible() == past.visible(1)


def test_a_rewind_can_be_rewound() -> None:
    """Going back to before the rewind brings everything back as it was then."""
    past = Past()
    kept, gone = create("Toast"), create("Dance")
    past.take(kept, gone, update(kept.item_id, {"title": "Speech"}), delete(gone.item_id), create("New"))
    past.rewind(2)
    assert past.visible() != past.visible(5)
    past.rewind(5)
    assert past.visible() == past.visible(5)


def test_its_changes_say_what_they_are() -> None:
    """They are the caller's, name the rewind as their policy and what was read as their base."""
    past = Past()
    made = create("Toast", source=TAVE)
    past.take(made, update(made.item_id, {"title": "Speech"}))
    planned, _ = past.rewind(1)
    (change,) = planned.changes
    assert (change.source.organization_id, change.source.actor) == ("studio", "ada")
    assert (change.source.policy, change.default_base) == ("rewind:1", 2)
    assert is_rewind(change)
    assert not is_rewind(made)


def test_what_was_edited_meanwhile_collides() -> None:
    """A field set after the rewind was read stays, is held, and the rest goes back."""
    past = Past()
    made = create("Toast", source=TAVE)
    past.take(made, update(made.item_id, {"title": "Speech", "notes": "long"}, source=TAVE))
    past.take(update(made.item_id, {"title": "Newest"}, source=CAL))
    _, (result,) = past.rewind(1, now=2)
    assert {field.path: field.outcome for field in result.fields} == {
        "title": Outcome.CONFLICTED,
        "notes": Outcome.APPLIED,
    }
    item = past.wedding.items[made.item_id]
    assert item.value("title") == "Newest"
    assert item.fields["title"].collision is not None
    assert item.fields["title"].collision.held_links == {"cal"}


def test_a_disagreement_about_what_goes_back_is_over() -> None:
    """Whoever rewinds a field has seen both sides of it."""
    past = Past()
    made = create("Toast")
    past.take(made, update(made.item_id, {"title": "Speech"}))
    past.take(update(made.item_id, {"title": "Ours"}, source=TAVE, default_base=1))
    past.rewind(1)
    state = past.wedding.items[made.item_id].fields["title"]
    assert (state.value, state.collision) == ("Toast", None)


def test_one_source_is_undone_and_the_others_stay() -> None:
    """Only fields whose present value is that source's go back; another's newer value stays."""
    past = Past()
    made = create("Toast")
    past.take(
        made,
        update(made.item_id, {"title": "By tave", "notes": "by tave", "location": "By tave"}, source=TAVE),
        update(made.item_id, {"notes": "by ada"}),
    )
    planned, _ = past.rewind(1, whose=BY_TAVE)
    assert [dict(change.values) for change in planned.changes] == [{"title": "Toast", "location": None}]
    assert past.visible()[made.item_id] == {"title": "Toast", "notes": "by ada"}


def test_a_field_goes_back_to_the_newest_value_of_another() -> None:
    """Where somebody else set the field between two edits of the source, theirs is the value."""
    past = Past()
    made = create("Toast")
    past.take(made)
    for title, source in (("T1", TAVE), ("Cal", CAL), ("T2", TAVE), ("T3", TAVE)):
        past.take(update(made.item_id, {"title": title}, source=source))
    past.rewind(1, whose=BY_TAVE)
    assert past.visible()[made.item_id]["title"] == "Cal"


def test_a_sources_own_older_value_counts() -> None:
    """What the source had set before the sequence is not undone."""
    past = Past()
    made = create("Old", source=TAVE)
    past.take(made, update(made.item_id, {"title": "New"}, source=TAVE))
    past.rewind(1, whose=BY_TAVE)
    assert past.visible()[made.item_id]["title"] == "Old"


def test_what_a_source_made_goes_unless_others_edited_it() -> None:
    """An item of the source's alone is deleted; one that others worked on is listed, and keeps theirs."""
    past = Past()
    alone, shared = create("Alone", source=TAVE), create("Shared", source=TAVE)
    past.take(alone, shared, update(shared.item_id, {"location": "Ada's"}))
    past.take(
        update(shared.item_id, {"location": "Tave's"}, source=TAVE), update(shared.item_id, {"notes": "n"})
    )
    planned, _ = past.rewind(0, whose=BY_TAVE)
    assert [(kept.path, kept.reason) for kept in planned.kept] == [(LIFE, "others have set its notes since")]
    assert past.visible() == {shared.item_id: {"title": "Shared", "location": "Ada's", "notes": "n"}}


@pytest.mark.parametrize("then", [1, 2])
def test_deletes_and_restores_of_a_source_are_undone(then: int) -> None:
    """What it deleted comes back, what it brought back goes again."""
    past = Past()
    made = create("Toast")
    past.take(made, delete(made.item_id, source=TAVE if then == 1 else PLANNER))
    if then == 2:
        past.take(restore(made.item_id, source=TAVE))
    past.rewind(then, whose=BY_TAVE)
    assert past.visible() == past.visible(then)


def test_a_delete_of_somebody_else_stays() -> None:
    """What the source had set in an item that others deleted is listed: a tombstone cannot be edited."""
    past = Past()
    made = create("Toast")
    past.take(made, update(made.item_id, {"title": "T"}, source=TAVE), delete(made.item_id))
    planned, _ = past.rewind(1, whose=BY_TAVE)
    assert planned.changes == ()
    assert [(kept.path, kept.reason) for kept in planned.kept] == [("title", "the item is deleted")]


def test_what_a_processor_says_of_money_stays() -> None:
    """Its facts and the payments it brought in are listed with the reason; what people noted goes back."""
    past = Past()
    known = create(values={"amount": "100 EUR", "memo": "deposit"}, **payment())
    past.take(known)
    born = create(values={"amount": "900 EUR"}, **payment())
    paid = update(known.item_id, {"status": "paid"}, **payment())
    noted = update(known.item_id, {"memo": "late"}, **payment(source=PLANNER))
    past.take(born, paid, noted)
    planned, (result,) = past.rewind(1)
    why = "stripe told it, and only a payment processor may say otherwise"
    assert {(kept.item_id, kept.path, kept.reason) for kept in planned.kept} == {
        (known.item_id, "status", why),
        (born.item_id, LIFE, why),
    }
    assert result.outcome is Outcome.APPLIED
    assert past.visible() == {
        known.item_id: {"amount": "100 EUR", "memo": "deposit", "status": "paid"},
        born.item_id: {"amount": "900 EUR"},
    }


def test_a_planned_payment_that_was_paid_is_not_deleted() -> None:
    """A payment somebody planned since stays once the processor has said something about it."""
    past = Past()
    planned_by_ada = create(values={"amount": "100 EUR"}, **payment(source=PLANNER))
    past.take(planned_by_ada, update(planned_by_ada.item_id, {"status": "paid"}, **payment()))
    planned, _ = past.rewind(0)
    assert planned.changes == ()
    assert [(kept.path, kept.reason.split()[0]) for kept in planned.kept] == [(LIFE, "stripe")]


def test_what_a_processor_took_out_stays_out() -> None:
    """A payment that the processor deleted is not brought back, and its fields stay with it."""
    past = Past()
    made = create(values={"amount": "100 EUR"}, **payment())
    past.take(made, update(made.item_id, {"memo": "m"}, **payment(source=PLANNER)))
    past.take(delete(made.item_id, **payment()))
    planned, _ = past.rewind(1)
    assert planned.changes == ()
    assert [kept.path for kept in planned.kept] == [LIFE, "memo"]


def test_messages_were_said() -> None:
    """Messages sent or edited since are listed and left alone."""
    past = Past()
    said = create(values={"text": "Rain!"}, item_kind=ItemKind.MESSAGE)
    past.take(said)
    more = create(values={"text": "Sun!"}, item_kind=ItemKind.MESSAGE)
    past.take(more, update(said.item_id, {"text": "Snow!"}, item_kind=ItemKind.MESSAGE))
    planned, _ = past.rewind(1)
    assert planned.changes == ()
    assert {(kept.item_id, kept.path) for kept in planned.kept} == {
        (more.item_id, LIFE),
        (said.item_id, "text"),
    }


def test_a_request_is_told_from_another_by_what_it_asks_for() -> None:
    """Its digest is the same for the same sequence and source, and another for any other."""
    assert fingerprint(3, BY_TAVE) == fingerprint(3, SourceFilter(vendor="tave"))
    asked = {fingerprint(3, BY_TAVE), fingerprint(4, BY_TAVE), fingerprint(3, SourceFilter(actor="tave"))}
    assert len(asked) == 3


def test_an_author_is_no_link() -> None:
    """A rewind by whoever came through a vendor is a person's act: every vendor is brought to the value."""
    assert author_of(TAVE, 3).link_id is None
