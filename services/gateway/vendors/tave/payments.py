"""Tave payments. Pure.

Payments carry no external mappings, so our marker stands behind the reference in `transactionId`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from services.gateway.vendors.port import VendorRejected
from services.gateway.vendors.tave.mapping import Context, Json, text_of
from wedsync.model.items import FieldValue, ItemKind

_MARKED = re.compile(r"(?:(?P<reference>.*) )?\[wedsync:(?P<item>[0-9a-f-]{36})\]", re.DOTALL)


def read(payment: Json, context: Context) -> dict[str, FieldValue]:
    """Return the payment's canonical fields. Raises `ValueError` if it makes no sense."""
    fields = context.shown(ItemKind.PAYMENT, payment)
    if lacking := [path for path in ("amount", "status") if fields[path] is None]:
        raise ValueError(f"has no {lacking[0]}")
    wholly_refunded = 0 < payment["amount"] <= (payment.get("refundedAmount") or 0)
    return {
        **fields,
        "status": "refunded" if wholly_refunded else fields["status"],
        "reference": _reference(payment)[0],
    }


def marker_of(payment: Json) -> str | None:
    """Return our item id, if the payment carries it."""
    return _reference(payment)[1] if isinstance(payment.get("transactionId"), str) else None


def changes(payment: Json, values: Mapping[str, FieldValue], context: Context) -> dict[str, Any]:
    """Return the vendor's fields that must be written so that the payment shows the values."""
    current = read(payment, context)
    wanted = {path: value for path, value in values.items() if value != current.get(path)}
    if "amount" in wanted:
        raise VendorRejected("Tave does not let a payment's amount be changed: replace the payment there")
    written = context.written(ItemKind.PAYMENT, wanted)
    if "reference" in wanted:
        written["transactionId"] = _transaction_id(text_of(wanted["reference"]), marker_of(payment))
    return written


def new(item_id: str, values: Mapping[str, FieldValue], context: Context) -> dict[str, Any]:
    """Return the body that creates the payment. One of which no status is known is not yet paid."""
    told = {**values, "status": values.get("status") or "planned"}
    return {
        "jobId": context.job_id,
        **context.written(ItemKind.PAYMENT, told),
        "transactionId": _transaction_id(text_of(values.get("reference")), item_id),
    }


def _reference(payment: Json) -> tuple[str | None, str | None]:
    whole = text_of(payment.get("transactionId"))
    marked = _MARKED.fullmatch(whole or "")
    return (marked["reference"] or None, marked["item"]) if marked else (whole, None)


def _transaction_id(reference: str | None, item_id: str | None) -> str | None:
    parts = [reference, f"[wedsync:{item_id}]" if item_id else None]
    return " ".join(part for part in parts if part) or None
