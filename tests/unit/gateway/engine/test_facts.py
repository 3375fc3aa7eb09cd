"""Facts that never go back, choices a vendor cannot be told, and what a merge needs to know."""

from __future__ import annotations

from services.gateway.deliver.confirm import settled
from services.gateway.deliver.plan import NOTHING_TO_DO, Rest, Write, plan_delivery
from services.gateway.observe import moved, observe
from services.gateway.records import Intent, IntentKind, Shadow, Shown
from services.gateway.vendors.field_rules import Direction, Equivalence, FieldRule, KindRule
from services.gateway.vendors.port import VendorRecord
from wedsync.model.changes import ChangeResult, FieldResult, FieldState, ItemState, Outcome, Source
from wedsync.model.items import FieldValue, ItemKind

PAYMENT, EVENT = ItemKind.PAYMENT, ItemKind.TIMELINE_EVENT
STEPS = (
    frozenset({"planned"}),
    frozenset({"pending", "failed"}),
    frozenset({"paid"}),
    frozenset({"refunded"}),
)
ADA = Source(organization_id="studio", actor="ada")


def a_rule(direction: Direction = Direction.BOTH, **more: object) -> FieldRule:
    """Return a field's rule."""
    return FieldRule(direction=direction, equivalence=Equivalence.EXACT, **more)  # type: ignore[arg-type]


PROCESSOR = {"status": a_rule(Direction.IN, rising=STEPS)}
LEDGER = KindRule(
    create=True,
    update=True,
    delete=False,
    fields={
        "status": a_rule(accepts=frozenset({"planned", "pending", "paid", "failed"})),
        "memo": a_rule(),
        "amount": a_rule(),
    },
)


def a_shadow(kind: ItemKind, *, present: bool = True, **fields: FieldValue) -> Shadow:
    """Return what a vendor showed, each field at revision 3."""
    shown = {path: Shown(value=value, revision=3) for path, value in fields.items()}
    return Shadow(link_id="l", item_id="i", kind=kind, record_id="r" if present else None, fields=shown)


def a_record(kind: ItemKind, **fields: FieldValue) -> VendorRecord:
    """Return what the vendor shows now."""
    return VendorRecord(record_id="r", kind=kind, version="", fields=fields)


def an_item(kind: ItemKind, **fields: FieldValue) -> ItemState:
    """Return an item at revision 5."""
    states = {path: FieldState(value=value, revision=5, source=ADA) for path, value in fields.items()}
    return ItemState(
        item_id="i", kind=kind, life=FieldState(value=None, revision=1, source=ADA), fields=states
    )


def test_an_old_answer_never_takes_a_payment_back() -> None:
    """A payment seen as paid that a late answer shows as pending stays paid, and is no reason to look."""
    shadow, late = a_shadow(PAYMENT, status="paid"), a_record(PAYMENT, status="pending")
    seen = observe(shadow, [], late, PROCESSOR)
    assert not seen.learned
    assert seen.shadow.fields["status"].value == "paid"
    assert not moved(shadow, late, PROCESSOR)


def test_a_status_of_the_same_step_or_a_later_one_is_news() -> None:
    """A failed try may become pending again, then paid, then refunded."""
    for before, after in (("failed", "pending"), ("pending", "paid"), ("paid", "refunded")):
        seen = observe(a_shadow(PAYMENT, status=before), [], a_record(PAYMENT, status=after), PROCESSOR)
        assert seen.values == {"status": after}


def test_a_status_that_is_in_no_step_never_replaces_one_that_is() -> None:
    """A value the manifest does not order, or none at all, does not undo what is known."""
    rule = PROCESSOR["status"]
    assert rule.goes_back("paid", None)
    assert rule.goes_back("planned", "odd")
    assert not rule.goes_back("odd", "planned")


def test_what_a_vendor_cannot_be_told_does_not_hold_up_the_rest() -> None:
    """A refund cannot be entered through the CRM's API; the memo is written all the same."""
    item = an_item(PAYMENT, status="refunded", memo="Deposit")
    plan = plan_delivery(item, a_shadow(PAYMENT, status="paid", memo="?"), LEDGER)
    assert isinstance(plan, Write)
    assert plan.plain == {"memo": "Deposit"}


def test_what_a_vendor_cannot_be_told_is_said() -> None:
    """With nothing else to write, the delivery rests, and says what its people must do."""
    item = an_item(PAYMENT, status="refunded", memo="Deposit")
    plan = plan_delivery(item, a_shadow(PAYMENT, status="paid", memo="Deposit"), LEDGER)
    reason = "status is refunded, which this vendor can only be told by its own people"
    assert plan == Rest(state=NOTHING_TO_DO, reason=reason)


def test_a_record_is_not_made_half() -> None:
    """A payment refunded before the CRM heard of it is not entered there as if it were open."""
    plan = plan_delivery(an_item(PAYMENT, status="refunded"), a_shadow(PAYMENT, present=False), LEDGER)
    assert isinstance(plan, Rest)
    assert "refunded" in plan.reason


def test_an_edit_of_a_set_carries_what_its_author_had_seen() -> None:
    """Of sets and lines of text the value before the edit goes along, of other fields it does not."""
    rules = {"tags": a_rule(), "notes": a_rule(), "title": a_rule()}
    shadow = a_shadow(EVENT, tags=("a",), notes="one", title="Toast")
    seen = observe(shadow, [], a_record(EVENT, tags=("a", "b"), notes="two", title="Vows"), rules)
    assert seen.base_values == {"tags": ("a",), "notes": "one"}


def test_a_field_seen_for_the_first_time_has_no_value_before() -> None:
    """Nobody can have seen what was never shown."""
    seen = observe(a_shadow(EVENT), [], a_record(EVENT, tags=("a",)), {"tags": a_rule()})
    assert seen.values == {"tags": ("a",)}
    assert seen.base_values == {}


def test_a_merged_value_is_not_what_the_vendor_shows() -> None:
    """After a merge the vendor's base stays: it has not seen the merged value yet."""
    field = FieldResult(path="tags", outcome=Outcome.MERGED, revision=9, proposed=("a",))
    result = ChangeResult(change_id="c", outcome=Outcome.MERGED, fields=(field,))
    assert settled({"tags": Shown(value=("a",), revision=3)}, result)["tags"].revision == 3


def test_what_only_travels_out_is_recognised_as_ours() -> None:
    """After a lost answer, a found record that shows what we sent needs no second write."""
    rules = {"title": a_rule(), "notes": a_rule(Direction.OUT)}
    sent = {"title": Shown(value="Toast", revision=5), "notes": Shown(value="n", revision=5)}
    create = Intent(intent_id="x", kind=IntentKind.CREATE, values=sent)
    seen = observe(a_shadow(EVENT, present=False), [create], a_record(EVENT, title="Toast", notes="n"), rules)
    assert not seen.learned
    kind = KindRule(create=True, update=True, delete=True, fields=rules)
    item = an_item(EVENT, title="Toast", notes="n")
    assert plan_delivery(item, seen.shadow, kind) == Rest(state=NOTHING_TO_DO)
