"""A payment intent of Stripe's as a payment of ours. Pure.

What happened to the money stands in its charge. Stripe shows the newest as `latest_charge`; versions of
its API before 2022-11-15 list all in `charges`, the newest first.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.gateway.converters import contract
from services.gateway.converters.fields import read_fields
from services.gateway.vendors.field_rules import FieldRule
from services.gateway.vendors.port import OutOfScope, VendorGarbage, VendorRecord
from wedsync.model.ids import is_id
from wedsync.model.items import FieldValue, ItemKind

Json = Mapping[str, Any]

_INTENT = re.compile(r"pi_[A-Za-z0-9_]{1,250}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the mapping of one customer's payments depends on."""

    customer_id: str
    fields: Mapping[str, FieldRule]
    conversion: contract.Context
    item_key: str
    memo_key: str


def is_intent_id(value: object) -> bool:
    """Say whether this is an id of a payment intent; only such go into a URL."""
    return isinstance(value, str) and _INTENT.fullmatch(value) is not None


def id_of(value: object) -> str | None:
    """Return the id of what Stripe shows as an id alone or as the whole object; None for nothing."""
    shown = value.get("id") if isinstance(value, Mapping) else value
    return shown if isinstance(shown, str) else None


def record(intent: Json, context: Context) -> VendorRecord:
    """Return a payment intent as a record.

    Raises `OutOfScope` if it is another customer's, `VendorGarbage` if it cannot be understood.
    """
    if not is_intent_id(intent.get("id")):
        raise VendorGarbage("a payment intent has no id")
    if id_of(intent.get("customer")) != context.customer_id:
        raise OutOfScope
    try:
        fields = read(intent, context)
        item_id = _metadata(intent).get(context.item_key)
    except (ValueError, TypeError, OverflowError, OSError) as error:
        raise VendorGarbage(f"the payment {error}") from error
    return VendorRecord(
        record_id=str(intent["id"]),
        kind=ItemKind.PAYMENT,
        version=_version(intent, fields),
        fields=fields,
        marker=item_id if isinstance(item_id, str) and is_id(item_id) else None,
        native=intent,
    )


def read(intent: Json, context: Context) -> dict[str, FieldValue]:
    """Return the payment's canonical fields. Raises `ValueError` if it makes no sense."""
    charge = newest_charge(intent)
    paid = charge if intent.get("status") == "succeeded" else {}
    shown = {**intent, "amount": _amount(intent), "latest_charge": paid}
    fields = read_fields(context.fields, shown, context.conversion)
    if fields["amount"] is None:
        raise ValueError("has no amount")
    return {
        **fields,
        "status": _status(intent, charge, fields["status"]),
        "method": _method(intent, paid),
        "memo": _text(_metadata(intent).get(context.memo_key)),
    }


def newest_charge(intent: Json) -> Json:
    """Return the newest charge, empty for none. Raises `ValueError` if Stripe names it without showing it."""
    latest, listed = intent.get("latest_charge"), intent.get("charges")
    if isinstance(latest, Mapping):
        return latest
    charges = listed.get("data") if isinstance(listed, Mapping) else None
    shown = [c for c in charges if isinstance(c, Mapping)] if isinstance(charges, list) else []
    if latest is not None:
        shown = [charge for charge in shown if charge.get("id") == latest]
        if not shown:
            raise ValueError("does not show its charge")
    return shown[0] if shown else {}


def _status(intent: Json, charge: Json, status: FieldValue) -> FieldValue:
    if status is None:
        raise ValueError("has no status")
    if status == "planned" and intent.get("last_payment_error"):
        return "failed"
    if status == "paid" and not charge:
        raise ValueError("is paid and has no charge")
    return "refunded" if status == "paid" and charge.get("refunded") is True else status


def _amount(intent: Json) -> object:
    """Return what was received, which may be less than what was asked for; the latter until then."""
    received = intent.get("amount_received")
    return received if intent.get("status") == "succeeded" and received else intent.get("amount")


def _method(intent: Json, charge: Json) -> str | None:
    """Return by what was paid. The charge knows; where it does not say, what the payment shows is it."""
    told = (charge.get("payment_method_details"), intent.get("payment_method")) if charge else ()
    return next((_text(shown.get("type")) for shown in told if isinstance(shown, Mapping)), None)


def _metadata(intent: Json) -> Json:
    metadata = intent.get("metadata") or {}
    if not isinstance(metadata, Mapping):
        raise TypeError("has metadata that is none")
    return metadata


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError("has something else where text belongs")
    return (value or "").strip() or None


def _version(intent: Json, fields: Mapping[str, FieldValue]) -> str:
    """Return a marker of the content: Stripe has none of its own."""
    shown = [dict(fields), intent.get("status"), intent.get("metadata")]
    return hashlib.blake2b(json.dumps(shown, sort_keys=True).encode(), digest_size=9).hexdigest()
