"""Items that are read only when somebody asks for them."""

from __future__ import annotations

from dataclasses import replace

from services.sync.stored_items import StoredItems, changed
from tests.unit.sync.builders import PLANNER, a_wedding, create, update
from wedsync.model.changes import FieldState, ItemState, Outcome
from wedsync.model.items import ItemKind


def _item(item_id: str) -> ItemState:
    state = FieldState(value=None, revision=1, source=PLANNER)
    title = replace(state, value=f"Event {item_id}")
    return ItemState(item_id=item_id, kind=ItemKind.TIMELINE_EVENT, life=state, fields={"title": title})


class _Stored:
    """A hundred items in a stored form, and which of them were read."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.items = StoredItems({f"i{n}": f"i{n}".encode() for n in range(100)}, self._read)

    def _read(self, stored: bytes) -> ItemState:
        self.read.append(stored.decode())
        return _item(stored.decode())


def test_an_edit_reads_the_item_it_is_about() -> None:
    """Planning a change and taking it over reads that one item once, and leaves all others as they are."""
    stored = _Stored()
    wedding = a_wedding(items=stored.items)
    plan = wedding.plan([update("i7", {"title": "Toast"}), update("i7", {"location": "Barn"})], {})
    after = wedding.after(plan)
    assert [result.outcome for result in plan.results] == [Outcome.APPLIED] * 2
    assert stored.read == ["i7"]
    assert (len(after.items), after.items["i7"].value("title")) == (100, "Toast")
    assert wedding.items["i7"].value("title") == "Event i7"
    assert stored.read == ["i7"]


def test_they_are_a_mapping_like_any_other() -> None:
    """What is there is there, what is not is not, and as many items as were stored are read at last."""
    stored = _Stored()
    assert "i1" in stored.items
    assert stored.items.get("nothing") is None
    assert stored.read == []
    assert dict(stored.items) == {f"i{n}": _item(f"i{n}") for n in range(100)}
    assert stored.items == dict(stored.items)
    assert len(stored.read) == 100


def test_a_new_item_joins_them() -> None:
    """A created item is among them, whether the others are stored or not."""
    stored, made = _Stored(), create("Vows")
    plan = a_wedding(items=stored.items).plan([made], {})
    for items in (stored.items, {"i1": _item("i1")}):
        after = changed(items, plan.items)
        assert after[made.item_id].value("title") == "Vows"
        assert len(after) == len(items) + 1
    assert stored.read == []
