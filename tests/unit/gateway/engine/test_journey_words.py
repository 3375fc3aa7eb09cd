"""Whatever happened to a webhook or a change is said in sentences a person can act on."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.gateway.journey import ChangeStep, DeliveryStep, Steps, WebhookStep, complete
from services.gateway.journey_words import summary
from wedsync.model.changes import ChangeResult, FieldResult, Outcome

_START = datetime(2027, 5, 1, 12, tzinfo=UTC)


def _at(milliseconds: int) -> datetime:
    return _START + timedelta(milliseconds=milliseconds)


_WEBHOOK = WebhookStep(
    id="w",
    vendor="stripe",
    state="processed",
    reason="",
    detected_at=_at(0),
    accepted_at=_at(5),
    translated_at=_at(40),
    trace_parent="",
)
_CHANGE = ChangeStep(
    id="c",
    vendor="stripe",
    webhook_id="w",
    state="applied",
    reason="",
    detected_at=_at(0),
    created_at=_at(40),
    committed_at=_at(50),
    sequence=7,
    resolved_at=_at(52),
    trace_parent="",
)
_DELIVERY = DeliveryStep(
    change_id="c",
    vendor="tave",
    state="delivered",
    reason="",
    attempts=1,
    sequence=7,
    created_at=_at(50),
    accepted_at=_at(55),
    started_at=_at(60),
    called_at=_at(61),
    confirmed_at=_at(95),
    closed_at=_at(95),
    trace_parent="",
)


def _told(webhook: WebhookStep | None = _WEBHOOK, *changes: ChangeStep) -> str:
    return summary(Steps(webhook=webhook, changes=changes, deliveries=[]))


def _sent(**values: object) -> str:
    delivery = replace(_DELIVERY, **values)  # type: ignore[arg-type]
    return summary(Steps(webhook=None, changes=[], deliveries=[delivery]))


def test_an_edit_that_went_all_the_way_is_told_from_end_to_end() -> None:
    """Webhook, commit, each vendor and the whole time are said in order."""
    result = ChangeResult(
        change_id="c",
        outcome=Outcome.APPLIED,
        sequence=7,
        fields=(FieldResult(path="amount", outcome=Outcome.APPLIED, revision=7, reason="first value"),),
    )
    webhook = replace(_WEBHOOK, event="payment_intent.succeeded")
    steps = Steps(webhook=webhook, changes=[replace(_CHANGE, result=result)], deliveries=[_DELIVERY])
    assert summary(steps) == (
        "stripe sent a webhook of payment_intent.succeeded. The edit was committed as sequence 7. "
        "Its amount was taken over. tave was brought to it in 40 ms. All was done 95 ms after it was told."
    )


@pytest.mark.parametrize(
    ("webhook", "says"),
    [
        (
            replace(_WEBHOOK, reason="an echo of a write of ours"),
            "changed nothing: an echo of a write of ours.",
        ),
        (
            replace(_WEBHOOK, reason="an event of this kind changes nothing here"),
            "It changed nothing: an event of this kind changes nothing here.",
        ),
        (
            replace(_WEBHOOK, reason="a decision of U061: keep the current value"),
            "sent a webhook. It brought a decision of U061: keep the current value.",
        ),
        (
            replace(_WEBHOOK, reason="the decision was not taken: it is over."),
            "It changed nothing: the decision was not taken: it is over.",
        ),
        (replace(_WEBHOOK, repeats=1), "It was delivered once more; a repetition does nothing."),
        (replace(_WEBHOOK, repeats=3), "It was delivered 3 times more"),
        (
            replace(_WEBHOOK, state="parked", origin="poll", repeats=2, reason="job/7: no title"),
            (
                "A look at stripe found a record. It was found 2 times more; a repetition does nothing. "
                "It could not be read; it is parked until someone acts: job/7: no title."
            ),
        ),
        (
            replace(_WEBHOOK, state="parked", reason="401. Connect the account again, then retry."),
            "parked until someone acts: 401. Connect the account again, then retry.",
        ),
        (
            replace(_WEBHOOK, state="parked", attempts=5, reason="garbage. Gave up."),
            "It could not be read after 5 tries; it is parked until someone acts: garbage. Gave up.",
        ),
        (replace(_WEBHOOK, state="received", reason="503"), "It is still to be read: 503."),
        (
            replace(_WEBHOOK, state="received", attempts=3, reason="503"),
            "It is still to be read after 3 tries: 503.",
        ),
        (_WEBHOOK, "It changed nothing."),
    ],
    ids=[
        "echo",
        "ignored",
        "decision",
        "decision not taken",
        "twice",
        "four times",
        "polled",
        "parked",
        "given up",
        "waiting",
        "retried",
        "nothing",
    ],
)
def test_what_became_of_a_webhook_is_said(webhook: WebhookStep, says: str) -> None:
    """An echo, a duplicate and a parked webhook each have their sentence."""
    assert says in _told(webhook)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (replace(_CHANGE, state="pending", sequence=None), "The edit is on its way into the wedding."),
        (
            replace(_CHANGE, state="pending", reason="UNAVAILABLE", attempts=4),
            "into the wedding after 4 tries: UNAVAILABLE.",
        ),
        (replace(_CHANGE, attempts=2), "The edit was committed as sequence 7 after 2 tries."),
        (replace(_CHANGE, state="rejected", reason="too long."), "The edit was refused: too long."),
        (replace(_CHANGE, sequence=None), "The edit brought nothing new."),
    ],
    ids=["pending", "retried", "late", "rejected", "nothing new"],
)
def test_what_became_of_an_edit_is_said(change: ChangeStep, says: str) -> None:
    """A waiting, a refused and an empty edit each have their sentence."""
    assert says in _told(_WEBHOOK, change)
    assert summary(Steps(webhook=None, changes=[change], deliveries=[])).startswith("A look at stripe found")


@pytest.mark.parametrize("outcome", list(Outcome))
def test_what_became_of_each_field_is_said(outcome: Outcome) -> None:
    """Every outcome a field can have is put into words, with its reason."""
    field = FieldResult(path="title", outcome=outcome, revision=3, reason="because")
    result = ChangeResult(change_id="c", outcome=outcome, sequence=7, fields=(field,))
    said = _told(_WEBHOOK, replace(_CHANGE, result=result))
    assert "Its title " in said
    assert ("because" in said) == (outcome is not Outcome.APPLIED)
    assert "conflict" in said or outcome is not Outcome.CONFLICTED


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"attempts": 3}, "tave was brought to it in 40 ms after 3 tries."),
        ({"reason": "not kept there: notes"}, "tave was brought to it in 40 ms: not kept there: notes."),
        ({"state": "nothing_to_do", "reason": "equal", "confirmed_at": None}, "tave needed no write: equal."),
        (
            {"state": "held", "reason": "title: in conflict", "confirmed_at": None},
            "not written to: title: in conflict.",
        ),
        (
            {
                "state": "nothing_to_do",
                "reason": "status is refunded, which this vendor can only be told by its own people",
                "confirmed_at": None,
            },
            "tave needed no write: status is refunded, which this vendor can only be told by its own people.",
        ),
        (
            {"state": "parked", "reason": "409", "attempts": 3, "confirmed_at": None},
            "could not be written to after 3 tries; it is parked until someone acts: 409.",
        ),
        ({"state": "due", "reason": "503", "confirmed_at": None}, "tave is still to be written to: 503."),
        (
            {"state": "due", "reason": "503", "attempts": 2, "confirmed_at": None},
            "tave is still to be written to after 2 tries: 503.",
        ),
        (
            {"state": "due", "reason": "the link is paused: 401", "confirmed_at": None},
            "to be written to: the link is paused: 401. It goes on when the link is resumed.",
        ),
        (
            {"state": "due", "reason": "the link is paused: ", "confirmed_at": None},
            "to be written to: the link is paused. It goes on",
        ),
        ({"state": "odd", "confirmed_at": None}, "tave: odd."),
    ],
    ids=[
        "retried",
        "partly",
        "nothing",
        "held",
        "not accepted",
        "parked",
        "due",
        "due again",
        "paused",
        "paused by hand",
        "odd",
    ],
)
def test_what_became_of_a_delivery_is_said(values: dict[str, object], says: str) -> None:
    """Each state a delivery can be in has its sentence, after the commit that made it due."""
    said = _sent(**values)
    assert said.startswith(
        "An edit through the API or another organization's vendor was committed as sequence 7. "
    )
    assert says in said
    assert ("All was done" in said) == ("confirmed_at" not in values)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "tave was brought back to the wedding's values in 40 ms. All was done"),
        (
            {"state": "due", "reason": "503", "attempts": 2, "confirmed_at": None},
            "tave is still to be brought back to the wedding's values after 2 tries: 503.",
        ),
        ({"state": "nothing_to_do", "confirmed_at": None}, "tave needed no write."),
    ],
    ids=["delivered", "due", "nothing"],
)
def test_a_correction_is_no_edit(values: dict[str, object], says: str) -> None:
    """A vendor that showed what was not taken over is brought back; no commit is claimed for it."""
    assert _sent(sequence=0, **values).startswith(says)


@pytest.mark.parametrize("state", ["parked", "held", "due"])
def test_all_is_done_only_when_every_vendor_has_it(state: str) -> None:
    """While one vendor is without it, the time of the others' writes is not called the end."""
    without = replace(_DELIVERY, vendor="slack", state=state, confirmed_at=None)
    said = summary(Steps(webhook=_WEBHOOK, changes=[_CHANGE], deliveries=[_DELIVERY, without]))
    assert "All was done" not in said
    assert ("The last write was confirmed 95 ms after it was told." in said) == (state != "due")


def test_clocks_that_differ_make_no_time_negative() -> None:
    """A write that was confirmed, by another clock, before it was handed over took no time."""
    assert "in 0 ms. All was done 0 ms" in _sent(confirmed_at=_at(1))


def test_what_was_set_apart_and_replayed_is_told_with_its_webhook() -> None:
    """Each record that went its own way says how far it is, and a replay where to go on reading."""
    part = replace(_WEBHOOK, id="p", record_id="event/2", attempts=2)
    parts = [
        replace(part, state="parked", reason="no title. Gave up."),
        replace(part, state="received", reason="503"),
        replace(part, state="processed"),
        replace(_WEBHOOK, id="again", origin="replay"),
    ]
    steps = Steps(webhook=_WEBHOOK, changes=[], deliveries=[], parts=parts)
    assert summary(steps) == (
        "stripe sent a webhook. "
        "Its record event/2 could not be read after 2 tries; "
        "it is parked until someone acts: no title. Gave up. "
        "Its record event/2 is still to be read after 2 tries: 503. "
        "Its record event/2 was read by itself after 2 tries. "
        "It was replayed as again."
    )
    assert not complete(steps)
    assert complete(replace(steps, parts=parts[2:]))


@pytest.mark.parametrize(
    ("webhook", "says"),
    [
        (replace(_WEBHOOK, origin="replay"), "A webhook of stripe was replayed. It changed nothing."),
        (
            replace(_WEBHOOK, record_id="event/2", state="parked", reason="no title"),
            "The record event/2 of stripe is worked on by itself. It could not be read; it is parked",
        ),
        (replace(_WEBHOOK, state="replayed", reason="no title"), "It could not be read: no title."),
    ],
)
def test_where_it_comes_from_is_said_first(webhook: WebhookStep, says: str) -> None:
    """A replay and a record set apart are no webhooks that a vendor sent now."""
    assert says in summary(Steps(webhook=webhook, changes=[], deliveries=[]))
