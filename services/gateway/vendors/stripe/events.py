"""What Stripe tells us on its own: events, each a hint at a payment intent. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.gateway.vendors.port import VendorGarbage
from services.gateway.vendors.stripe.payments import id_of, is_intent_id

Json = Mapping[str, Any]

# Objects of an event that belong to a payment intent and name it.
_PARTS = frozenset({"charge", "dispute", "refund"})


def hinted(event: Json, customer_id: str) -> list[str]:
    """Return the payment intent an event is about. Raises `VendorGarbage` if it makes no sense.

    Nothing for what is about something else, or about another customer where the event says so: a refund
    does not, and a read will tell.
    """
    shown = _object(event)
    kind = shown.get("object")
    if kind != "payment_intent" and kind not in _PARTS:
        return []
    intent = shown.get("id") if kind == "payment_intent" else id_of(shown.get("payment_intent"))
    if intent is None and kind in _PARTS:
        # A charge made without a payment intent is none of our payments.
        return []
    if not is_intent_id(intent):
        raise VendorGarbage("an event without the id of the payment it is about")
    if "customer" in shown and id_of(shown["customer"]) != customer_id:
        return []
    return [str(intent)]


def _object(event: Json) -> Json:
    data = event.get("data")
    shown = data.get("object") if isinstance(data, Mapping) else None
    if event.get("object") != "event" or not isinstance(shown, Mapping):
        raise VendorGarbage("this is no event of Stripe's")
    return shown
