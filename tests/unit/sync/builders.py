"""Weddings and changes for tests: say only what the test is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from services.sync.wedding import Wedding
from wedsync.model.changes import Change, ChangeKind, Priority, Source
from wedsync.model.ids import new_id
from wedsync.model.items import FieldValue, ItemKind

PLANNER = Source(organization_id="studio", actor="ada")


def vendor(link: str = "link-1", record: str = "r1") -> Source:
    """Return the source of what a vendor's record says."""
    return Source(organization_id="studio", actor="sync", link_id=link, vendor=link, record_id=record)


def a_wedding(**but: object) -> Wedding:
    """Return an empty wedding."""
    known: dict[str, object] = {"wedding_id": new_id(), "epoch": 0, "sequence": 0, "member_ids": ("studio",)}
    return Wedding(**{**known, **but})  # type: ignore[arg-type]


def create(title: str = "Ceremony", item_id: str | None = None, **but: object) -> Change:
    """Return the creation of an event."""
    return _change(ChangeKind.CREATE, item_id or new_id(), {"title": title}, but)


def update(item_id: str, values: Mapping[str, FieldValue], **but: object) -> Change:
    """Return an edit; without a base its author insists."""
    return _change(ChangeKind.UPDATE, item_id, values, but)


def delete(item_id: str, **but: object) -> Change:
    """Return a deletion."""
    return _change(ChangeKind.DELETE, item_id, {}, but)


def restore(item_id: str, **but: object) -> Change:
    """Return a restoration."""
    return _change(ChangeKind.RESTORE, item_id, {}, but)


def emergency(change: Change) -> Change:
    """Return the change in the emergency lane."""
    return replace(change, priority=Priority.EMERGENCY)


def critical(change: Change) -> Change:
    """Return the change in the lane of weddings in their live window."""
    return replace(change, priority=Priority.CRITICAL)


def _change(
    kind: ChangeKind, item_id: str, values: Mapping[str, FieldValue], but: Mapping[str, object]
) -> Change:
    known: dict[str, object] = {
        "change_id": new_id(),
        "item_id": item_id,
        "item_kind": ItemKind.TIMELINE_EVENT,
        "kind": kind,
        "source": PLANNER,
        "values": dict(values),
    }
    return Change(**{**known, **but})  # type: ignore[arg-type]
