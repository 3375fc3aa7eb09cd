"""Kinds of item and the type of each of their fields: the one catalogue everything else reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

FieldValue = str | int | bool | tuple[str, ...] | None
"""A canonical field value. Text that is empty is None: there is one way to say nothing.

    DATE        "2027-06-12"
    ZONED_TIME  "2027-06-12T15:00:00[America/New_York]" (RFC 9557, the zone decides the offset; a time
                the clocks show twice means its first showing, one they skip is none: `moments`)
    MONEY       "12500 USD" (integer minor units, ISO 4217)
    TAGS        a sorted tuple without repeats
"""

LIFE = "deleted_at"
"""The pseudo-field an item's life is: its revision rises on create, delete and restore."""


EMERGENCY = "emergency"
"""The urgency of a message that overtakes everything else."""


class ItemKind(StrEnum):
    """What an item is."""

    TIMELINE_EVENT = "timeline_event"
    CONTACT = "contact"
    BOOKING = "booking"
    PAYMENT = "payment"
    TASK = "task"
    MESSAGE = "message"
    WEDDING = "wedding"
    """The wedding itself: one item at most, whose id is the wedding's."""


VENDOR_KINDS = tuple(kind for kind in ItemKind if kind is not ItemKind.WEDDING)
"""Kinds of items that vendors keep, and callers may change directly."""


class FieldType(StrEnum):
    """How a field's value looks and merges."""

    TEXT = "text"
    LINES = "lines"
    DATE = "date"
    ZONED_TIME = "zoned_time"
    BOOL = "bool"
    INTEGER = "integer"
    MONEY = "money"
    ENUM = "enum"
    TAGS = "tags"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSpec:
    """One field of a kind of item."""

    type: FieldType
    required: bool = False
    values: tuple[str, ...] = ()
    """Of an ENUM: what it may be."""
    least: int | None = None
    """Of a number, or of an amount in minor units."""
    most: int | None = None
    fact: bool = False
    """It tells what happened with money: once a payment processor has said it, nobody else knows better."""


def _text(*, required: bool = False) -> FieldSpec:
    return FieldSpec(type=FieldType.TEXT, required=required)


def _enum(*values: str) -> FieldSpec:
    return FieldSpec(type=FieldType.ENUM, values=values)


_LINES = FieldSpec(type=FieldType.LINES)
_DATE = FieldSpec(type=FieldType.DATE)
_BOOL = FieldSpec(type=FieldType.BOOL)

CATALOGUE: Mapping[ItemKind, Mapping[str, FieldSpec]] = {
    ItemKind.TIMELINE_EVENT: {
        "title": _text(required=True),
        "starts_at": FieldSpec(type=FieldType.ZONED_TIME),
        "ends_at": FieldSpec(type=FieldType.ZONED_TIME),
        "all_day": _BOOL,
        "location": _text(),
        "notes": _LINES,
        "status": _enum("tentative", "confirmed", "cancelled"),
        "tags": FieldSpec(type=FieldType.TAGS),
    },
    ItemKind.CONTACT: {
        "name": _text(required=True),
        "email": _text(),
        "phone": _text(),
        "role": _text(),
        "company": _text(),
        "notes": _LINES,
    },
    ItemKind.BOOKING: {
        "title": _text(required=True),
        "service": _text(),
        "status": _enum("inquiry", "booked", "in_progress", "completed", "cancelled"),
        "date": _DATE,
        "guest_count": FieldSpec(type=FieldType.INTEGER, least=0, most=100_000),
        "notes": _LINES,
    },
    ItemKind.PAYMENT: {
        "amount": FieldSpec(type=FieldType.MONEY, required=True, least=0, fact=True),
        "status": FieldSpec(
            type=FieldType.ENUM, values=("planned", "pending", "paid", "failed", "refunded"), fact=True
        ),
        "paid_on": FieldSpec(type=FieldType.DATE, fact=True),
        "method": FieldSpec(type=FieldType.TEXT, fact=True),
        "memo": _text(),
        "reference": FieldSpec(type=FieldType.TEXT, fact=True),
        "refunded": FieldSpec(type=FieldType.MONEY, least=0, fact=True),
    },
    ItemKind.TASK: {
        "title": _text(required=True),
        "due_on": _DATE,
        "done": _BOOL,
        "assignee": _text(),
        "notes": _LINES,
    },
    ItemKind.MESSAGE: {
        "text": FieldSpec(type=FieldType.LINES, required=True),
        "author": _text(),
        "conflict_id": _text(),
        "urgency": _enum("normal", EMERGENCY),
    },
    ItemKind.WEDDING: {
        "paused": _BOOL,
        "pause_reason": _text(),
    },
}
"""Every kind's fields by path, in the order people read them."""
