"""Whatever there is a word for in the engine is told in sentences: what is new without them fails here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.gateway import vendors
from services.gateway.deliver import plan
from services.gateway.deliver.retry import MAX_ATTEMPTS, Park, after_failure
from services.gateway.deliver.shortfall import shortfall
from services.gateway.journey import ChangeStep, DeliveryStep, Nothing, Steps, WebhookStep
from services.gateway.journey_words import summary
from services.gateway.records import Shadow, Shown
from services.gateway.stops import LinkStopped
from services.gateway.vendors import port
from services.gateway.vendors.field_rules import Direction, Equivalence, FieldRule, KindRule
from services.gateway.vendors.port import OutOfScope, VendorError
from wedsync.model.changes import FieldState, ItemState, Source
from wedsync.model.items import ItemKind

_AT = datetime(2027, 5, 1, 12, tzinfo=UTC)
_WEBHOOK = WebhookStep(
    id="w", vendor="stripe", state="processed", reason="", detected_at=_AT, accepted_at=_AT,
    translated_at=_AT, trace_parent="",
)  # fmt: skip
_CHANGE = ChangeStep(
    id="c", vendor="stripe", webhook_id="w", state="applied", reason="", detected_at=_AT, created_at=_AT,
    committed_at=_AT, sequence=7, resolved_at=_AT, trace_parent="",
)  # fmt: skip
_DELIVERY = DeliveryStep(
    change_id="c", vendor="tave", state="due", reason="", attempts=1, sequence=7, created_at=_AT,
    accepted_at=_AT, started_at=_AT, called_at=_AT, confirmed_at=None, closed_at=_AT, trace_parent="",
)  # fmt: skip
_NOON = "2027-06-12T12:00:00[America/New_York]"
_ALIKE: dict[Equivalence, tuple[str | bool | None, str | bool | None]] = {
    Equivalence.EXACT: ("a", "a"),
    Equivalence.MINUTE: ("2027-06-12T12:00:30[America/New_York]", _NOON),
    Equivalence.TRIMMED: (" Vows ", "Vows"),
    Equivalence.SINGLE_LINE: ("Our\nvows", "Our vows"),
    Equivalence.FLAG: (None, False),
    Equivalence.INSTANT: (_NOON, "2027-06-12T16:00:00[UTC]"),
    Equivalence.INSTANT_MINUTE: ("2027-06-12T12:00:30[America/New_York]", "2027-06-12T16:00:00[UTC]"),
    Equivalence.PHONE: ("(212) 555-0123", "+12125550123"),
}
_KIND = ItemKind.TIMELINE_EVENT
_SENTENCES = re.compile(r"([A-Za-z][^.]*[^ .:]\. ?)+")


def _errors(kind: type[VendorError] = VendorError) -> Iterator[type[VendorError]]:
    """Those of the port and of the engine; a vendor's own are told as what they are kinds of."""
    for each in kind.__subclasses__():
        if each.__module__ == port.__name__ or not each.__module__.startswith(f"{vendors.__name__}."):
            yield each
        yield from _errors(each)


@pytest.mark.parametrize("nothing", list(Nothing))
def test_why_a_webhook_changed_nothing_is_said(nothing: Nothing) -> None:
    """Every reason there is ends the sentence that says so."""
    told = replace(_WEBHOOK, reason=str(nothing))
    assert summary(Steps(webhook=told, changes=[], deliveries=[])).endswith(f"It changed nothing: {nothing}.")


@pytest.mark.parametrize("error", sorted(_errors(), key=str))
@pytest.mark.parametrize("attempts", [1, MAX_ATTEMPTS])
def test_whatever_a_vendor_does_is_told_with_what_is_to_be_done(
    error: type[VendorError], attempts: int
) -> None:
    """What waits says why; what is given up says who must do what, of a webhook as of a delivery."""
    verdict = after_failure(error("the vendor's own words"), attempts=attempts, dice=0.0)
    parked = isinstance(verdict, Park)
    reason = verdict.reason if isinstance(verdict, Park) else "the vendor's own words"
    state = "parked" if parked else "due"
    delivery = replace(_DELIVERY, state=state, reason=reason, attempts=attempts)
    read = replace(_WEBHOOK, state="parked" if parked else "received", reason=reason, attempts=attempts)
    for steps in (
        Steps(webhook=None, changes=[_CHANGE], deliveries=[delivery]),
        Steps(webhook=read, changes=[], deliveries=[]),
    ):
        said = summary(steps)
        assert "the vendor's own words" in said
        assert ("parked until someone acts" in said) == parked
        assert ("retry" in said) == parked
        assert _SENTENCES.fullmatch(said)


def test_every_failure_is_met() -> None:
    """Those of the port are among them, and those of the engine's own: none is only thought of."""
    known = {error for error in vars(port).values() if isinstance(error, type)}
    assert {error for error in known if issubclass(error, VendorError)} - {VendorError} <= {*_errors()}
    assert {LinkStopped, OutOfScope} <= {*_errors()}


@pytest.mark.parametrize("state", [plan.NOTHING_TO_DO, plan.HELD, plan.DELIVERED, plan.PARKED, "due"])
@pytest.mark.parametrize("sequence", [7, 0])
def test_every_end_of_a_delivery_has_its_sentence(state: str, sequence: int) -> None:
    """None is told by the bare word under which it is kept."""
    delivery = replace(_DELIVERY, state=state, sequence=sequence, reason="because")
    said = summary(Steps(webhook=None, changes=[_CHANGE], deliveries=[delivery]))
    assert f"tave: {state}" not in said
    assert said.endswith(": because.")


@pytest.mark.parametrize("equivalence", list(Equivalence))
def test_how_a_vendor_keeps_a_value_is_said(equivalence: Equivalence) -> None:
    """Each way in which a vendor holds less than the truth has its words, which never hold the value."""
    ours, theirs = _ALIKE[equivalence]
    rule = FieldRule(direction=Direction.BOTH, equivalence=equivalence, region="US")
    by = Source(organization_id="o", actor="planner")
    life, title = FieldState(value=None, revision=1, source=by), FieldState(value=ours, revision=1, source=by)
    item = ItemState(item_id="i", kind=_KIND, life=life, fields={"title": title})
    shown = {"title": Shown(value=theirs, revision=1)}
    shadow = Shadow(link_id="l", item_id="i", kind=_KIND, record_id="r", fields=shown)
    said = shortfall(item, shadow, KindRule(create=True, update=True, delete=True, fields={"title": rule}))
    assert (said == "") == (ours == theirs)
    assert ours == theirs or said.startswith("title is kept ")
    assert str(theirs) not in said or ours == theirs
