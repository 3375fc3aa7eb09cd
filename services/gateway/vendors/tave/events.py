"""Tave events as timeline events. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.gateway.vendors.tave import html_text, moments
from services.gateway.vendors.tave.mapping import Context, Json, text_of
from wedsync.model.items import FieldValue

_ADDRESS_PARTS = ("name", "streetAddress", "village", "city", "state", "postalCode", "country")


def read(event: Json, context: Context) -> dict[str, FieldValue]:
    """Return the event's canonical fields. Raises `ValueError` if it makes no sense."""
    span = moments.from_event(event, context.conversion.zone, inclusive=context.inclusive_end)
    return {
        "title": text_of(event.get("name")) or "Untitled event",
        **moments.to_fields(span),
        "location": _location_text(event.get("location")),
        "notes": html_text.to_text(text_of(event.get("descriptionHtml"))),
        # Tave knows confirmed or not; what it means by "not" it cannot say.
        "status": "confirmed" if event.get("confirmed") is True else None,
    }


def changes(event: Json, values: Mapping[str, FieldValue], context: Context) -> dict[str, Any]:
    """Return the vendor's fields that must be written so that the event shows the values.

    Only what really differs is touched: rich text, structured addresses and times that already
    say the same stay as the studio wrote them.
    """
    current = read(event, context)
    wanted = {path: value for path, value in values.items() if value != current.get(path)}
    written: dict[str, Any] = {}
    if "title" in wanted:
        written["name"] = wanted["title"]
    if "location" in wanted:
        written["location"] = _location(wanted["location"])
    if "notes" in wanted:
        written["descriptionHtml"] = html_text.to_html(text_of(wanted["notes"]))
    if "status" in wanted:
        written["confirmed"] = wanted["status"] == "confirmed"
    if wanted.keys() & moments.TIME_FIELDS:
        written |= _times(event, current | wanted, context)
    return written


def _times(event: Json, fields: Mapping[str, FieldValue], context: Context) -> dict[str, Any]:
    span = moments.from_fields(fields)
    written = moments.to_event(span, inclusive=context.inclusive_end)
    if written.get("timezoneName", event.get("timezoneName")) != event.get("timezoneName"):
        written["timezoneId"] = None  # it would win over the name
    return written


def _location_text(location: Json | None) -> str | None:
    address = (location or {}).get("address") or {}
    parts = [text_of(address.get(part)) for part in _ADDRESS_PARTS]
    return ", ".join(part for part in parts if part) or None


def _location(text: FieldValue) -> dict[str, Any] | None:
    # The address's name is read-only, so free text can only stand in the street.
    return None if text is None else {"id": None, "address": {"streetAddress": text}}
