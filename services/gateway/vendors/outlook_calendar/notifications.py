"""What Outlook tells a subscriber: batches of events that moved, and of turns in its own life. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.gateway.vendors.port import VendorGarbage


def hinted(event: Mapping[str, Any]) -> list[str]:
    """Return the events a batch of notifications points at, each once. Raises `VendorGarbage`."""
    return list(dict.fromkeys(_event_id(item) for item in _items(event) if not _is_lifecycle(item)))


def _items(event: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    items = event.get("value")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise VendorGarbage("a notification holds no list of what it tells")
    return items


def _is_lifecycle(item: Mapping[str, Any]) -> bool:
    # It names no event: something was missed, or the subscription is about to end.
    return "lifecycleEvent" in item


def _event_id(item: Mapping[str, Any]) -> str:
    data = item.get("resourceData")
    event_id = data.get("id") if isinstance(data, dict) else None
    if not isinstance(event_id, str) or not event_id:
        raise VendorGarbage("a notification does not say which event moved")
    return event_id
