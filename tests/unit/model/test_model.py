"""Ids that two processes derive alike, and the small questions values answer."""

from __future__ import annotations

import uuid

import pytest

from wedsync.model.changes import Change, ChangeKind, Collision, FieldState, ItemState, Source
from wedsync.model.ids import change_id, conflict_id, delivery_id, is_id, item_id, new_id
from wedsync.model.items import ItemKind

TAVE = Source(organization_id="studio", actor="i1", link_id="l1", vendor="tave", record_id="r1")
ADA = Source(organization_id="studio", actor="ada")


def test_new_ids_are_version_7_and_in_order_of_time() -> None:
    """Fresh ids are UUIDs of version 7, all different, and sort by their millisecond."""
    ids = [new_id() for _ in range(1000)]
    assert {uuid.UUID(each).version for each in ids} == {7}
    assert {uuid.UUID(each).variant for each in ids} == {uuid.RFC_4122}
    assert len(set(ids)) == 1000
    times = [each[:13] for each in ids]
    assert times == sorted(times)


def test_derived_ids_never_change() -> None:
    """Ids derived from the same parts are the same in every process and every release."""
    assert change_id("l1", "r1", 3) == "929c3dbb-7519-517e-bf12-b7d40ee0ef9c"
    assert item_id("l1", "r1") == "959a634b-3f0d-52d2-aae6-5d92168ead48"
    assert uuid.UUID(conflict_id("w1", 7, "title")).version == 5


def test_parts_are_kept_apart() -> None:
    """Other parts, other kinds of id and other cuts between the parts give other ids."""
    derived = [
        change_id("a", "bc", 1),
        change_id("ab", "c", 1),
        change_id("a", "bc", 11),
        item_id("a", "bc"),
        item_id("ab", "c"),
        delivery_id("a", "bc"),
        conflict_id("a", 1, "bc"),
        conflict_id("a", 11, "bc"),
    ]
    assert len(set(derived)) == len(derived)


@pytest.mark.parametrize(
    "text", ["", "x", "{6f1d9a3e-52b7-5c0e-9d42-7a1f4b8c2e60}", "6F1D9A3E-52B7-5C0E-9D42-7A1F4B8C2E60"]
)
def test_only_the_canonical_form_is_an_id(text: str) -> None:
    """Upper case, braces and other text are no ids."""
    assert not is_id(text)


def test_a_base_is_the_fields_own_or_the_default() -> None:
    """A field's own base wins; without one the default counts, and without that the author insists."""
    change = Change(
        change_id="c",
        item_id="i",
        item_kind=ItemKind.TASK,
        kind=ChangeKind.UPDATE,
        source=ADA,
        base={"title": 0},
        default_base=5,
    )
    assert (change.base_of("title"), change.base_of("notes")) == (0, 5)


def test_records_are_the_same_only_through_the_same_link() -> None:
    """Two edits through the API are never the same record; one vendor record is itself."""
    assert TAVE.same_record(TAVE)
    assert not ADA.same_record(ADA)
    assert not TAVE.same_record(Source(organization_id="studio", actor="i2", link_id="l2", record_id="r1"))


def test_a_collision_holds_every_party_to_it() -> None:
    """Links of both sides and of earlier parties are held; callers of the API have none."""
    collision = Collision(sequence=1, proposed="x", proposed_by=TAVE, current_by=ADA, also_held=("l9",))
    assert collision.held_links == {"l1", "l9"}


def test_an_item_knows_its_values_and_whether_it_lives() -> None:
    """A field never set is None; a life of True is death."""
    item = ItemState(
        item_id="i",
        kind=ItemKind.TASK,
        life=FieldState(value=True, revision=2, source=ADA),
        fields={"title": FieldState(value="Call", revision=1, source=ADA)},
    )
    assert (item.value("title"), item.value("notes"), item.deleted) == ("Call", None, True)
