"""What a vendor's and the sync service's answers leave in the shadow."""

from __future__ import annotations

from services.gateway.deliver.confirm import settled, written
from services.gateway.deliver.plan import Write
from services.gateway.records import IntentKind, Shadow, Shown
from services.gateway.vendors.field_rules import Direction, Equivalence, FieldRule
from services.gateway.vendors.port import VendorRecord
from wedsync.model.changes import ChangeResult, FieldResult, Outcome
from wedsync.model.items import FieldValue, ItemKind

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
