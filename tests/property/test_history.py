"""Whatever the planner decides, the checker of histories agrees."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from services.sync.wedding import KnownChange, Wedding
from wedsync.model.changes import PAYMENT_PROCESSOR, Change, ChangeKind, Source
from wedsync.model.items import FieldValue, ItemKind
from wedsync.testing.history import Call, Entry, History, violations

SOURCES = (
    Source(organization_id="studio", actor="ada"),
    Source(organization_id="studio", actor="tave", link_id="tave", vendor="tave", record_id="1"),
    Source(
        organization_id="studio",
        actor="stripe",
        link_id="stripe",
        vendor="stripe",
        record_id="1",
        category=PAYMENT_PROCESSOR,
    ),
)
TAGS: tuple[FieldValue, ...] = (None, ("a",), ("a", "b"), ("b", "c"))
LINES: tuple[FieldValue, ...] = (None, "one\ntwo", "one\nzwei", "eins\ntwo", "three")
FIELDS: dict[ItemKind, dict[str, tuple[FieldValue, ...]]] = {
    ItemKind.TIMELINE_EVENT: {"title": ("x", "y", None), "tags": TAGS, "notes": LINES},
    ItemKind.PAYMENT: {"amount": ("1 USD", "2 USD"), "memo": ("m", "n")},
}
ITEMS = {"event": ItemKind.TIMELINE_EVENT, "payment": ItemKind.PAYMENT}


@st.composite
def changes(draw: st.DrawFn) -> list[Change]:
    """Up to 16 changes of an event and a payment, with bases of all sorts, some of them repeated."""
    found = []
    for number in range(draw(st.integers(1, 16))):
        item_id = draw(st.sampled_from(sorted(ITEMS)))
        item_kind = ITEMS[item_id] if draw(st.integers(0, 9)) else ItemKind.PAYMENT
        kind = draw(st.sampled_from(ChangeKind))
        values = {
            path: draw(st.sampled_from(choices))
            for path, choices in FIELDS[item_kind].items()
            if draw(st.booleans())
        }
        edits = kind in {ChangeKind.CREATE, ChangeKind.UPDATE}
        found.append(
            Change(
                change_id=f"c{number}",
                item_id=item_id,
                item_kind=item_kind,
                kind=kind,
                source=draw(st.sampled_from(SOURCES)),
                values=values if edits else {},
                default_base=draw(st.none() | st.integers(0, number)),
                base_values={"tags": draw(st.sampled_from(TAGS)), "notes": draw(st.sampled_from(LINES))}
                if draw(st.booleans()) and item_kind is ItemKind.TIMELINE_EVENT
                else {},
            )
        )
    return draw(st.lists(st.sampled_from(found), min_size=len(found), max_size=len(found) * 2))


def history_of(changes: list[Change]) -> History:
    """Return the history of one client that sends one change at a time."""
    wedding, known, clock = Wedding(wedding_id="w", epoch=1, sequence=0), dict[str, KnownChange](), count()
    calls, log = [], []
    for change in changes:
        batch = wedding.plan([change], known)
        wedding, known = wedding.after(batch), known | dict(batch.remember)
        log += [Entry(change=entry.change, result=entry.result, epoch=1) for entry in batch.logged]
        times = float(next(clock)), float(next(clock))
        calls.append(
            Call(
                client="ada",
                wedding_id="w",
                changes=[change],
                invoked=times[0],
                returned=times[1],
                results=batch.results,
            )
        )
    return History(calls=calls, logs={"w": log}, items={"w": wedding.items})


@given(changes())
def test_planner_and_checker_agree(sent: list[Change]) -> None:
    """The rules, written down twice and apart, decide every change alike and fold to the same state."""
    assert violations(history_of(sent)) == []
