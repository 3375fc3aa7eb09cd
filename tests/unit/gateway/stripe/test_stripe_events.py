"""Stripe's events as hints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.gateway.vendors.manifest import load_manifest
from services.gateway.vendors.port import VendorGarbage
from services.gateway.vendors.stripe.events import hinted

MANIFEST = load_manifest(Path(__file__).parents[4] / "services/gateway/vendors/stripe")
INTENT = {"object": "payment_intent", "id": "pi_1", "customer": "cus_1"}
CHARGE = {"object": "charge", "id": "ch_1", "payment_intent": "pi_1", "customer": "cus_1"}
REFUND = {"object": "refund", "id": "re_1", "payment_intent": "pi_1", "charge": "ch_1"}
DISPUTE = {"object": "dispute", "id": "du_1", "payment_intent": "pi_1", "charge": "ch_1"}


def told(event_type: str, shown: Any) -> dict[str, Any]:
    """An event about an object."""
    return {"id": "evt_1", "object": "event", "type": event_type, "data": {"object": shown}}


def about(event_type: str) -> dict[str, Any]:
    """What an event of this type is about, as Stripe documents it."""
    if event_type.startswith("payment_intent."):
        return INTENT
    if event_type.startswith("charge.dispute."):
        return DISPUTE
    return REFUND if "refund." in event_type else CHARGE


def test_every_event_of_the_manifest_leads_to_its_payment() -> None:
    """Whether it is about the payment, a charge, a refund or a dispute, the payment is read."""
    assert MANIFEST.inbound is not None
    found = {name: hinted(told(name, about(name)), "cus_1") for name in MANIFEST.inbound.events}
    assert set(map(tuple, found.values())) == {("pi_1",)}
    assert len(found) == 17


@pytest.mark.parametrize(
    "shown",
    [
        {**INTENT, "customer": "cus_2"},
        {**INTENT, "customer": None},
        {**CHARGE, "customer": {"id": "cus_2"}},
        {**CHARGE, "payment_intent": None},
        {"object": "customer", "id": "cus_1"},
        {"object": "invoice", "id": "in_1", "payment_intent": "pi_1"},
        {"id": "what"},
    ],
    ids=str,
)
def test_what_is_not_about_a_payment_of_the_customer_is_no_hint(shown: dict[str, Any]) -> None:
    """Other customers, charges without a payment and other things cause no look."""
    assert hinted(told("charge.refunded", shown), "cus_1") == []


def test_a_payment_may_be_shown_as_a_whole() -> None:
    """An expanded payment intent is the same one."""
    assert hinted(told("refund.updated", {**REFUND, "payment_intent": INTENT}), "cus_1") == ["pi_1"]


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"object": "event"},
        {"object": "event", "data": []},
        {"object": "event", "data": {"object": "pi_1"}},
        {"object": "v2.core.event", "data": {"object": INTENT}},
        told("payment_intent.created", {**INTENT, "id": None}),
        told("payment_intent.created", {**INTENT, "id": "pi_1/confirm"}),
        told("charge.refunded", {**CHARGE, "payment_intent": "in_1"}),
    ],
    ids=str,
)
def test_an_event_that_makes_no_sense_is_garbage(event: dict[str, Any]) -> None:
    """What is signed and yet no event is said to be garbage."""
    with pytest.raises(VendorGarbage):
        hinted(event, "cus_1")
