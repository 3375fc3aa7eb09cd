"""Tave payments. Pure.

Payments carry no external mappings, so our marker stands behind the reference in `transactionId`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from services.gateway.vendors.port import VendorRejected
from services.gateway.vendors.tave.mapping import Context, Json, text_of
from wedsync.model.items import FieldValue

_STATUS = {
    "future": "planned",
    "confirmed-future": "planned",
    "pending": "pending",
    "posted": "paid",
    "failed": "failed",
}
_VENDOR_STATUS = {"planned": "future", "pending": "pending", "paid": "posted", "failed": "failed"}
_MARKED = re.compile(r"(?:(?P<reference>.*) )?\[wedsync:(?P<item>[0-9a-f-]{36})\]", re.DOTALL)
_MONEY = re.compile(r"(\d{1,11}) ([A-Z]{3})")


def read(payment: Json, context: Context) -> dict[str, FieldValue]:
    """Return the payment's canonical fields. Raises `ValueError` if it makes no sense."""
    amount = payment.get("amount")
    if type(amount) is not int:
        raise ValueError("has an amount that is no whole number")
    return {
        "amount": f"{amount} {context.currency}",
        "status": _status(payment, amount),
        "paid_on": text_of(payment.get("received")),
        "memo": text_of(payment.get("memo")),
        "reference": _reference(payment)[0],
        "refunded": _refunded(payment, context),
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
    names = {"paid_on": "received", "memo": "memo"}
    written: dict[str, Any] = {name: wanted[path] for path, name in names.items() if path in wanted}
    if "status" in wanted:
        written["status"] = _vendor_status(wanted["status"])
    if "reference" in wanted:
        written["transactionId"] = _transaction_id(text_of(wanted["reference"]), marker_of(payment))
    return written


def new(item_id: str, values: Mapping[str, FieldValue], context: Context) -> dict[str, Any]:
    """Return the body that creates the payment. One of which no status is known is not yet paid."""
    matched = _MONEY.fullmatch(str(values.get("amount")))
    if not matched or matched[2] != context.currency:
        raise VendorRejected(f"this studio keeps payments in {context.currency}: enter the amount in it")
    return {
        "jobId": context.job_id,
        "amount": int(matched[1]),
        "status": _vendor_status(values.get("status") or "planned"),
        "received": values.get("paid_on"),
        "memo": values.get("memo"),
        "transactionId": _transaction_id(text_of(values.get("reference")), item_id),
    }


def _status(payment: Json, amount: int) -> str:
    status = payment.get("status")
    if status not in _STATUS:
        raise ValueError("has an unknown status")
    refunded = payment.get("refundedAmount") or 0
    return "refunded" if type(refunded) is int and 0 < amount <= refunded else _STATUS[status]


def _refunded(payment: Json, context: Context) -> str | None:
    amount = payment.get("refundedAmount") or 0
    if type(amount) is not int:
        raise ValueError("has a refunded amount that is no whole number")
    return f"{amount} {context.currency}" if amount else None


def _vendor_status(status: FieldValue) -> str:
    if status not in _VENDOR_STATUS:
        raise VendorRejected(f"Tave's API cannot make a payment {status}: do it in Tave")
    return _VENDOR_STATUS[str(status)]


def _reference(payment: Json) -> tuple[str | None, str | None]:
    whole = text_of(payment.get("transactionId"))
    marked = _MARKED.fullmatch(whole or "")
    return (marked["reference"] or None, marked["item"]) if marked else (whole, None)


def _transaction_id(reference: str | None, item_id: str | None) -> str | None:
    parts = [reference, f"[wedsync:{item_id}]" if item_id else None]
    return " ".join(part for part in parts if part) or None
