"""What is there on both sides already, before a link is made: exact keys or a person, never a guess."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.gateway.matching import Flow, Same, differences, label, pair
from services.gateway.vendors.field_rules import Direction, Equivalence, KindRule
from services.gateway.vendors.port import VendorRecord
from tests.support.gateway_vendor import rule
from wedsync.model.changes import FieldState, ItemState, Source
from wedsync.model.items import FieldValue, ItemKind

EVENT, CONTACT, PAYMENT = ItemKind.TIMELINE_EVENT, ItemKind.CONTACT, ItemKind.PAYMENT
NOON, ONE = "2027-06-12T12:00:00[Europe/Paris]", "2027-06-12T13:00:00[Europe/Paris]"

RULES = {
    EVENT: KindRule(
        create=True,
        update=True,
        delete=True,
        fields={
            "title": rule(),
            "starts_at": rule(Equivalence.MINUTE),
            "location": rule(),
            "notes": rule(Equivalence.TRIMMED),
            "status": rule(direction=Direction.IN),
        },
    ),
    CONTACT: KindRule(
        create=True, update=True, delete=True, fields={path: rule() for path in ("name", "email", "phone")}
    ),
    PAYMENT: KindRule(
        create=True, update=True, delete=True, fields={path: rule() for path in ("amount", "reference")}
    ),
}


def record(
    record_id: str, kind: ItemKind = EVENT, marker: str | None = None, **fields: FieldValue
) -> VendorRecord:
    """Return a vendor's record."""
    return VendorRecord(record_id=record_id, kind=kind, version="1", fields=fields, marker=marker)


def item(item_id: str, kind: ItemKind = EVENT, **values: FieldValue) -> ItemState:
    """Return an item of the wedding."""
    by = Source(organization_id="org", actor="ann")
    return ItemState(
        item_id=item_id,
        kind=kind,
        life=FieldState(value=None, revision=1, source=by),
        fields={path: FieldState(value=value, revision=1, source=by) for path, value in values.items()},
    )


def pairs(records: list[VendorRecord], items: list[ItemState]) -> list[tuple[str, str, str]]:
    """Return what is one and the same, and by what."""
    found = pair(records, items, RULES)
    return [(same.record.record_id, same.item.item_id, same.key) for same in found.same]


def test_our_own_marker_comes_first() -> None:
    """A record that carries it is the item's, whatever its fields say by now."""
    records = [record("r1", marker="i1", title="Cake"), record("r2", title="Vows", starts_at=NOON)]
    items = [item("i1", title="Vows", starts_at=NOON), item("i2", title="Cake")]
    assert pairs(records, items) == [("r1", "i1", "marker")]


def test_a_copied_marker_proves_nothing() -> None:
    """Two records with one marker are for people to decide, and so is neither of them matched."""
    records = [record("r1", marker="i1", title="Cake"), record("r2", marker="i1", title="Cake")]
    found = pair(records, [item("i1", title="Cake")], RULES)
    assert found.same == []
    assert [(doubt.record.record_id, [i.item_id for i in doubt.items]) for doubt in found.doubts] == [
        ("r1", ["i1"]),
        ("r2", ["i1"]),
    ]
    assert (found.records, found.items) == ([], [])


@pytest.mark.parametrize(
    ("kind", "fields", "key"),
    [
        (EVENT, {"title": "Vows", "starts_at": NOON}, "title, starts_at"),
        (CONTACT, {"email": "ada@example.org"}, "email"),
        (PAYMENT, {"reference": "pi_1"}, "reference"),
    ],
)
def test_equal_natural_keys_are_one_and_the_same(kind: ItemKind, fields: dict[str, str], key: str) -> None:
    """All fields of the key are equal, and no other record or item has them."""
    seen = VendorRecord(record_id="r1", kind=kind, version="1", fields=fields)
    assert pairs([seen], [item("i1", kind, **fields)]) == [("r1", "i1", key)]


def test_a_key_is_compared_as_far_as_the_vendor_can_show_it() -> None:
    """Seconds that the vendor drops are no difference; but two items that only they part are no match."""
    seen = record("r1", title="Vows", starts_at=NOON)
    one = item("i1", title="Vows", starts_at=NOON.replace(":00[", ":30["))
    assert pairs([seen], [one]) == [("r1", "i1", "title, starts_at")]
    assert pairs([seen], [one, item("i2", title="Vows", starts_at=NOON)]) == []


@pytest.mark.parametrize(
    ("records", "items"),
    [
        ([record("r1", title="Vows", starts_at=NOON)], [item("i1", title="vows ", starts_at=NOON)]),
        ([record("r1", title="Vows", starts_at=NOON)], [item("i1", title="Vows", starts_at=ONE)]),
        ([record("r1", title="Vows")], [item("i1", title="Vows")]),
        (
            [record("r1", title="Vows", starts_at=NOON), record("r2", title="Vows", starts_at=NOON)],
            [item("i1", title="Vows", starts_at=NOON)],
        ),
        (
            [record("r1", title="Vows", starts_at=NOON)],
            [item(f"i{n}", title="Vows", starts_at=NOON) for n in (1, 2)],
        ),
        (
            [record("r1", CONTACT, name="Ada L", email="ada@example.org")],
            [item("i1", CONTACT, name="ada l", email="other@example.org")],
        ),
    ],
)
def test_what_only_looks_alike_is_for_people(records: list[VendorRecord], items: list[ItemState]) -> None:
    """Other capitals, another time, half a key, a double on either side: nobody guesses."""
    found = pair(records, items, RULES)
    assert found.same == []
    assert {doubt.record.record_id for doubt in found.doubts} == {r.record_id for r in records}
    assert (found.records, found.items) == ([], [])


def test_what_is_on_one_side_only_is_new_on_the_other() -> None:
    """Deleted items and kinds that the vendor does not keep are left out."""
    gone = item("i2", title="Toast")
    gone = replace(gone, life=FieldState(value=True, revision=2, source=gone.life.source))
    found = pair(
        [record("r1", title="Cake")],
        [item("i1", title="Vows"), gone, item("i3", ItemKind.TASK, title="Cake")],
        RULES,
    )
    assert [r.record_id for r in found.records] == ["r1"]
    assert [i.item_id for i in found.items] == ["i1"]
    assert (found.same, found.doubts) == ([], [])


def test_differences_are_what_the_engine_would_do() -> None:
    """Filled in where one side has nothing, a conflict where both have; what is alike is not named."""
    same = Same(
        record=record("r1", title="Vows", starts_at=NOON, location="Garden", notes=None, status="confirmed"),
        item=item(
            "i1",
            title="Vows",
            starts_at=NOON.replace(":00[", ":30["),
            location="Terrace",
            notes="bring rings",
        ),
        key="marker",
    )
    found = {d.path: (d.flow, d.present, d.vendors) for d in differences(same, RULES[EVENT])}
    assert found == {
        "location": (Flow.CONFLICT, "Terrace", "Garden"),
        "status": (Flow.TO_WEDDING, None, "confirmed"),
        "notes": (Flow.TO_VENDOR, "bring rings", None),
    }


def test_things_are_named_as_people_know_them() -> None:
    """By their key, then by what they look like; a thing without any of it has no name."""
    assert label(EVENT, {"title": "Vows", "starts_at": NOON}) == f"Vows, {NOON}"
    assert label(PAYMENT, {"amount": "100 EUR"}) == "100 EUR"
    assert label(ItemKind.MESSAGE, {"text": "hello"}) == ""
