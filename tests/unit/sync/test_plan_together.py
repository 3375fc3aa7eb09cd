"""Edits that are merged, and facts that nobody but a payment processor knows better."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.sync.plan import plan
from tests.unit.sync.builders import PLANNER, create, delete, update, vendor
from wedsync.model.changes import PAYMENT_PROCESSOR, Change, ItemState, Outcome, Source
from wedsync.model.items import LIFE, FieldValue, ItemKind

TAVE, CALENDAR = vendor("tave"), vendor("calendar")
STRIPE = replace(vendor("stripe"), category=PAYMENT_PROCESSOR)


def after(*changes: Change) -> ItemState:
    """Return the item the changes leave, one sequence each."""
    item = None
    for sequence, change in enumerate(changes, start=1):
        item = plan(item, change, sequence).item or item
    assert item is not None
    return item


def an_event(**values: FieldValue) -> ItemState:
    """Return an event that the planner made and the calendar edited at sequence 2."""
    made = create(item_id="i", values={"title": "x", "tags": ("a",), "notes": "one\ntwo\nthree"})
    return after(made, update("i", values, source=CALENDAR, default_base=1))


def test_labels_of_both_sides_stay() -> None:
    """Two sides that added a label each both keep it; the field belongs to no record yet."""
    item = an_event(tags=("a", "b"))
    edit = update("i", {"tags": ("a", "c")}, source=TAVE, default_base=1, base_values={"tags": ("a",)})
    planned = plan(item, edit, 3)
    assert planned.outcome is Outcome.MERGED
    assert planned.item is not None
    state = planned.item.fields["tags"]
    assert (state.value, state.revision, state.source.record_id) == (("a", "b", "c"), 3, None)
    assert [field.proposed for field in planned.fields] == [("a", "b", "c")]


def test_edits_of_separate_lines_stay() -> None:
    """One side changed the first line, the other the last: both are kept."""
    item = an_event(notes="ONE\ntwo\nthree")
    seen = {"notes": "one\ntwo\nthree"}
    edit = update("i", {"notes": "one\ntwo\nTHREE"}, source=TAVE, default_base=1, base_values=seen)
    assert after_edit(item, edit).value("notes") == "ONE\ntwo\nTHREE"


def test_edits_of_one_line_collide() -> None:
    """What cannot be merged is decided as it always was, and so is what comes without the value before."""
    item = an_event(notes="one\nTWO\nthree", tags=("a", "b"))
    seen: dict[str, FieldValue] = {"notes": "one\ntwo\nthree"}
    edit = update("i", {"notes": "one\n2\nthree"}, source=TAVE, default_base=1, base_values=seen)
    assert plan(item, edit, 3).outcome is Outcome.CONFLICTED
    blind = update("i", {"tags": ("a", "c")}, source=TAVE, default_base=1)
    assert plan(item, blind, 3).outcome is Outcome.CONFLICTED


def test_an_edit_that_is_in_already_is_superseded() -> None:
    """A label taken out that others took out too leaves nothing to do, but the vendor to be corrected."""
    item = an_event(tags=("b",))
    edit = update("i", {"tags": None}, source=TAVE, default_base=1, base_values={"tags": ("a",)})
    planned = plan(item, edit, 3)
    assert (planned.outcome, planned.item) == (Outcome.SUPERSEDED, None)


def test_a_merge_exempts_no_record_from_colliding() -> None:
    """Whoever took part in a merge has not seen its result: overlapping lines collide with it later."""
    item = an_event(notes="ONE\ntwo\nthree")
    seen: dict[str, FieldValue] = {"notes": "one\ntwo\nthree"}
    edit = update("i", {"notes": "one\ntwo\nTHREE"}, source=TAVE, default_base=1, base_values=seen)
    merged = after_edit(item, edit)
    again = update(
        "i", {"notes": "1\ntwo\nTHREE"}, source=TAVE, default_base=1, base_values={"notes": "one\ntwo\nTHREE"}
    )
    assert plan(merged, again, 4).outcome is Outcome.CONFLICTED


def after_edit(item: ItemState, edit: Change) -> ItemState:
    """Return the item after one more change."""
    planned = plan(item, edit, 3)
    assert planned.item is not None
    return planned.item


@pytest.fixture
def payment() -> ItemState:
    """A payment that the processor reported at sequence 1."""
    values: dict[str, FieldValue] = {"amount": "100 EUR", "status": "paid", "memo": "Deposit"}
    return after(create(item_id="i", item_kind=ItemKind.PAYMENT, source=STRIPE, values=values))


def of_payment(source: Source, base: int | None, **values: FieldValue) -> Change:
    """Return an edit of the payment."""
    return update("i", values, item_kind=ItemKind.PAYMENT, source=source, default_base=base)


@pytest.mark.parametrize(("source", "base"), [(TAVE, 1), (PLANNER, 1), (PLANNER, None)])
def test_nobody_overwrites_what_the_processor_said(
    payment: ItemState, source: Source, base: int | None
) -> None:
    """Having seen a fact gives nobody the right to change it: it becomes a disagreement."""
    planned = plan(payment, of_payment(source, base, status="failed"), 2)
    assert planned.outcome is Outcome.CONFLICTED
    assert planned.item is not None
    assert planned.item.value("status") == "paid"


def test_the_processor_goes_on_and_others_edit_the_rest(payment: ItemState) -> None:
    """The processor's own record changes its facts; a memo is no fact."""
    assert plan(payment, of_payment(STRIPE, 0, status="refunded"), 2).outcome is Outcome.APPLIED
    assert plan(payment, of_payment(TAVE, 1, memo="Balance"), 2).outcome is Outcome.APPLIED


def test_a_decision_may_overrule_the_processor(payment: ItemState) -> None:
    """Who names the disagreement has seen both sides; its author stays the side it is for."""
    disputed = plan(payment, of_payment(TAVE, 1, status="failed"), 2).item
    assert disputed is not None
    too_early = plan(disputed, of_payment(PLANNER, 1, status="failed"), 3)
    assert too_early.outcome is Outcome.CONFLICTED
    decided = plan(disputed, of_payment(PLANNER, 2, status="failed"), 3)
    assert decided.item is not None
    state = decided.item.fields["status"]
    assert (state.value, state.collision, state.source) == ("failed", None, TAVE)


def test_a_decision_for_the_present_value_leaves_it_its_author(payment: ItemState) -> None:
    """Confirming a fact ends the disagreement, and it stays the processor's."""
    disputed = plan(payment, of_payment(TAVE, 1, status="failed"), 2).item
    decided = plan(disputed, of_payment(PLANNER, 2, status="paid"), 3)
    assert decided.item is not None
    state = decided.item.fields["status"]
    assert (state.revision, state.collision, state.source) == (3, None, STRIPE)


def test_a_payment_the_processor_knows_is_not_just_deleted(payment: ItemState) -> None:
    """A deletion by somebody else is a disagreement, although it need not say what it deletes."""
    planned = plan(payment, delete("i", source=TAVE, default_base=1), 2)
    assert planned.outcome is Outcome.CONFLICTED
    assert planned.fields[0].path == LIFE
