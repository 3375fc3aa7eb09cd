"""Laws of rewinding: whatever was edited, by whom, and however far back it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from services.sync.filters import SourceFilter
from services.sync.rewind import Compensations
from tests.unit.sync.builders import PLANNER, vendor
from tests.unit.sync.past import Past, Visible
from wedsync.model.changes import PAYMENT_PROCESSOR, Change, ChangeKind, ItemState, Outcome, Source
from wedsync.model.items import LIFE, FieldValue, ItemKind

STRIPE = Source(organization_id="studio", actor="i", link_id="s", vendor="stripe", category=PAYMENT_PROCESSOR)
SOURCES = (PLANNER, vendor("tave", "1"), vendor("cal", "1"), STRIPE)
ITEMS = {
    "e1": (ItemKind.TIMELINE_EVENT, ("title", "location", "notes")),
    "e2": (ItemKind.TIMELINE_EVENT, ("title", "location", "notes")),
    "p": (ItemKind.PAYMENT, ("amount", "status", "memo")),
    "m": (ItemKind.MESSAGE, ("text", "author")),
}
MONEY = ("100 EUR", "200 EUR")


@st.composite
def changes(draw: st.DrawFn, number: int) -> Change:
    """Any change of one of four items by one of four parties, with any base."""
    item_id = draw(st.sampled_from(sorted(ITEMS)))
    item_kind, paths = ITEMS[item_id]
    kind = draw(st.sampled_from([*ChangeKind, ChangeKind.CREATE, ChangeKind.UPDATE, ChangeKind.UPDATE]))
    return Change(
        change_id=f"c{number}",
        item_id=item_id,
        item_kind=item_kind,
        kind=kind,
        source=draw(st.sampled_from(SOURCES)),
        values=draw(values(paths)) if kind in {ChangeKind.CREATE, ChangeKind.UPDATE} else {},
        default_base=draw(st.none() | st.just(number) | st.integers(0, number)),
    )


def values(paths: tuple[str, ...]) -> st.SearchStrategy[dict[str, FieldValue]]:
    """Some values of some of the fields."""
    words = st.sampled_from(("paid", "pending"))
    return st.dictionaries(st.sampled_from(paths), words, min_size=1).map(
        lambda found: {p: MONEY[v == "paid"] if p == "amount" else v for p, v in found.items()}
    )


@st.composite
def pasts(draw: st.DrawFn) -> tuple[Past, int]:
    """A wedding with up to 25 changes behind it, and a sequence to go back to."""
    past = Past()
    for number in range(draw(st.integers(1, 25))):
        past.take(draw(changes(number)))
    return past, draw(st.integers(0, past.wedding.sequence))


def apart_from(seen: Visible, planned: Compensations) -> dict[str, dict[str, FieldValue]]:
    """Return what people see apart from what is listed as not rewound."""
    kept = {(kept.item_id, kept.path) for kept in planned.kept}
    return {
        item_id: {path: value for path, value in fields.items() if (item_id, path) not in kept}
        for item_id, fields in seen.items()
        if (item_id, LIFE) not in kept
    }


@given(pasts())
def test_a_rewind_brings_back_what_was(made: tuple[Past, int]) -> None:
    """People see what they saw after that sequence, except for what is listed, and nothing collides."""
    past, then = made
    planned, results = past.rewind(then)
    assert apart_from(past.visible(), planned) == apart_from(past.visible(then), planned)
    assert all(result.outcome is Outcome.APPLIED for result in results)


@given(pasts())
def test_what_is_listed_did_not_move(made: tuple[Past, int]) -> None:
    """Each field that is listed as not rewound is as it was before the rewind."""
    past, then = made
    before = past.wedding.items
    planned, _ = past.rewind(then)
    for kept in planned.kept:
        was, now = before[kept.item_id], past.wedding.items[kept.item_id]
        assert (was.deleted, was.value(kept.path)) == (now.deleted, now.value(kept.path))


@given(pasts())
def test_a_rewind_of_a_rewind_undoes_it(made: tuple[Past, int]) -> None:
    """Going back to before a rewind brings back what was there before it."""
    past, then = made
    before = past.wedding.sequence
    past.rewind(then)
    planned, _ = past.rewind(before)
    assert apart_from(past.visible(), planned) == apart_from(past.visible(before), planned)


@given(pasts())
def test_a_second_rewind_finds_nothing_to_do(made: tuple[Past, int]) -> None:
    """Once a wedding is back, going back to the same sequence changes nothing more."""
    past, then = made
    past.rewind(then)
    planned, _ = past.rewind(then)
    assert planned.changes == ()


@given(pasts(), st.sampled_from(("tave", "cal", "stripe")))
def test_undoing_one_source_brings_back_the_newest_of_the_others(made: tuple[Past, int], name: str) -> None:
    """Every field of an item that is there shows the newest value that is not that source's, or is listed."""
    past, then = made
    before, whose = past.wedding.sequence, SourceFilter(vendor=name)
    planned, results = past.rewind(then, whose=whose)
    assert all(result.outcome is Outcome.APPLIED for result in results)
    kept = {(kept.item_id, kept.path) for kept in planned.kept}
    for item_id, fields in past.visible().items():
        for path in ITEMS[item_id][1]:
            if (item_id, path) not in kept:
                assert fields.get(path) == newest_of_others(
                    past.states[then : before + 1], then, whose, item_id, path
                )


def newest_of_others(
    states: Sequence[Mapping[str, ItemState]], then: int, whose: SourceFilter, item_id: str, path: str
) -> FieldValue:
    """Return the newest value that the source did not set since, its own where there never was another."""
    for state in reversed(states):
        if item_id not in state:
            break
        field = state[item_id].fields.get(path)
        if field is None or field.revision <= then or not whose.fits(field.source):
            return field.value if field else None
    return states[-1][item_id].value(path)
