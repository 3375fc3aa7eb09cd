"""What a vendor's and the sync service's answers leave in the shadow."""

from __future__ import annotations

import pytest

from services.gateway.deliver.confirm import agrees, settled, written
from services.gateway.deliver.plan import Write
from services.gateway.records import IntentKind, Shadow, Shown
from services.gateway.vendors.field_rules import Direction, Equivalence, FieldRule
from services.gateway.vendors.port import VendorRecord
from wedsync.model.changes import ChangeKind, ChangeResult, FieldResult, Outcome
from wedsync.model.items import LIFE, FieldValue, ItemKind

_KIND = ItemKind.TIMELINE_EVENT
_RULES = {"title": FieldRule(direction=Direction.BOTH, equivalence=Equivalence.EXACT)}


def _after_writing(sent: str, shown: str) -> Shown:
    shadow = Shadow(link_id="l", item_id="i", kind=_KIND, record_id="r")
    write = Write(kind=IntentKind.UPDATE, values={"title": Shown(value=sent, revision=7)})
    record = VendorRecord(record_id="r", kind=_KIND, version="2", fields={"title": shown})
    return written(shadow, write, record, _RULES).fields["title"]


def test_a_value_the_vendor_rewrote_remembers_what_was_sent() -> None:
    """A silent rewriting keeps what we sent beside what is shown, so that it is not written again."""
    assert _after_writing("+1 555", "+1555") == Shown(value="+1555", revision=7, sent="+1 555")
    assert _after_writing("Vows", "Vows") == Shown(value="Vows", revision=7)


def _settled(proposed: FieldValue, revision: int, outcome: Outcome = Outcome.APPLIED) -> int:
    field = FieldResult(path="title", outcome=outcome, revision=revision, proposed=proposed)
    result = ChangeResult(change_id="c", outcome=outcome, fields=(field,))
    return settled({"title": Shown(value="Vows", revision=3)}, result)["title"].revision


def test_a_base_advances_only_for_what_the_vendor_still_shows() -> None:
    """A taken value moves its base forward, never back, and not once the vendor shows something else."""
    assert _settled("Vows", 5) == 5
    assert _settled("Toasts", 5) == 3
    assert _settled("Vows", 2) == 3
    assert _settled("Vows", 5, Outcome.CONFLICTED) == 3


def _agrees(
    *outcomes: Outcome,
    whole: Outcome = Outcome.APPLIED,
    kind: ChangeKind = ChangeKind.UPDATE,
    shown: FieldValue = "Vows",
    alive: bool = True,
) -> bool:
    fields = {"title": Shown(value=shown, revision=3), "notes": Shown(value="Vows", revision=3)}
    life = {LIFE: Shown(value=None, revision=1)} if alive else {}
    results = tuple(
        FieldResult(path=path, outcome=outcome, revision=5, proposed="Vows")
        for path, outcome in zip(fields, outcomes, strict=False)
    )
    return agrees(fields | life, kind, ChangeResult(change_id="c", outcome=whole, fields=results))


def test_an_edit_that_was_taken_as_it_is_shown_needs_no_other_look() -> None:
    """Every value of it was taken, or was the wedding's before."""
    assert _agrees(Outcome.APPLIED)
    assert _agrees(Outcome.APPLIED, Outcome.UNCHANGED)


@pytest.mark.parametrize(
    "outcome", [Outcome.MERGED, Outcome.CONFLICTED, Outcome.SUPERSEDED, Outcome.REJECTED, Outcome.DUPLICATE]
)
def test_a_value_that_was_not_taken_as_it_is_shown_is_looked_at(outcome: Outcome) -> None:
    """One of two is enough, and so is the answer as a whole."""
    assert not _agrees(Outcome.APPLIED, outcome)
    assert not _agrees(Outcome.APPLIED, whole=outcome)


def test_what_is_not_known_for_sure_is_looked_at() -> None:
    """The record shows something else by now, its life was decided about, or nothing is known of its life."""
    assert not _agrees(Outcome.APPLIED, shown="Toasts")
    assert not _agrees(Outcome.APPLIED, kind=ChangeKind.CREATE)
    assert not _agrees(Outcome.APPLIED, alive=False)
