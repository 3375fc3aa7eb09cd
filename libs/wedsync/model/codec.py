"""Model values as JSON-native dictionaries: how they are stored, whoever stores them.

Short keys, because they are written for every change; absent keys mean the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from wedsync.model.changes import (
    Change,
    ChangeKind,
    ChangeResult,
    Collision,
    FieldResult,
    FieldState,
    ItemState,
    Outcome,
    Priority,
    Source,
)
from wedsync.model.items import FieldValue, ItemKind

Json = Mapping[str, Any]


def dump_value(value: FieldValue) -> Any:
    """Return the value as JSON has it: a tuple becomes a list."""
    return list(value) if isinstance(value, tuple) else value


def load_value(value: Any) -> FieldValue:
    """Return the value that `dump_value` wrote."""
    return tuple(value) if isinstance(value, list) else value


def dump_values(values: Mapping[str, FieldValue]) -> dict[str, Any]:
    """Return a mapping of values as JSON has it."""
    return {path: dump_value(value) for path, value in values.items()}


def load_values(values: Json) -> dict[str, FieldValue]:
    """Return the mapping that `dump_values` wrote."""
    return {path: load_value(value) for path, value in values.items()}


def dump_source(source: Source) -> dict[str, Any]:
    """Return a source as JSON."""
    through = {
        "link": source.link_id,
        "vendor": source.vendor,
        "record": source.record_id,
        "category": source.category,
        "event": source.event_id,
        "policy": source.policy,
    }
    known = {key: value for key, value in through.items() if value is not None}
    return {"org": source.organization_id, "actor": source.actor, **known}


def load_source(record: Json) -> Source:
    """Return the source that `dump_source` wrote."""
    return Source(
        organization_id=record["org"],
        actor=record["actor"],
        link_id=record.get("link"),
        vendor=record.get("vendor"),
        record_id=record.get("record"),
        category=record.get("category"),
        event_id=record.get("event"),
        policy=record.get("policy"),
    )


def dump_collision(collision: Collision) -> dict[str, Any]:
    """Return a collision as JSON."""
    return {
        "seq": collision.sequence,
        "proposed": dump_value(collision.proposed),
        "proposed_by": dump_source(collision.proposed_by),
        "current_by": dump_source(collision.current_by),
        "also": list(collision.also_held),
    }


def load_collision(record: Json) -> Collision:
    """Return the collision that `dump_collision` wrote."""
    return Collision(
        sequence=record["seq"],
        proposed=load_value(record["proposed"]),
        proposed_by=load_source(record["proposed_by"]),
        current_by=load_source(record["current_by"]),
        also_held=tuple(record["also"]),
    )


def dump_field(state: FieldState) -> dict[str, Any]:
    """Return a field's state as JSON."""
    record = {"v": dump_value(state.value), "rev": state.revision, "by": dump_source(state.source)}
    if state.collision is not None:
        record["collision"] = dump_collision(state.collision)
    return record


def load_field(record: Json) -> FieldState:
    """Return the field's state that `dump_field` wrote."""
    collision = record.get("collision")
    return FieldState(
        value=load_value(record["v"]),
        revision=record["rev"],
        source=load_source(record["by"]),
        collision=None if collision is None else load_collision(collision),
    )


def dump_item(item: ItemState) -> dict[str, Any]:
    """Return an item as JSON."""
    return {
        "id": item.item_id,
        "kind": item.kind.value,
        "life": dump_field(item.life),
        "fields": {path: dump_field(state) for path, state in item.fields.items()},
    }


def load_item(record: Json) -> ItemState:
    """Return the item that `dump_item` wrote."""
    return ItemState(
        item_id=record["id"],
        kind=ItemKind(record["kind"]),
        life=load_field(record["life"]),
        fields={path: load_field(state) for path, state in record["fields"].items()},
    )


def dump_change(change: Change) -> dict[str, Any]:
    """Return a change as JSON, without priority and trace: those belong to the try, not to the change."""
    record: dict[str, Any] = {
        "id": change.change_id,
        "item": change.item_id,
        "item_kind": change.item_kind.value,
        "kind": change.kind.value,
        "by": dump_source(change.source),
        "values": dump_values(change.values),
        "base": dict(change.base),
    }
    if change.default_base is not None:
        record["default_base"] = change.default_base
    if change.base_values:
        record["base_values"] = dump_values(change.base_values)
    return record


def load_change(record: Json, *, priority: Priority = Priority.NORMAL, trace_parent: str = "") -> Change:
    """Return the change that `dump_change` wrote."""
    return Change(
        change_id=record["id"],
        item_id=record["item"],
        item_kind=ItemKind(record["item_kind"]),
        kind=ChangeKind(record["kind"]),
        source=load_source(record["by"]),
        values=load_values(record["values"]),
        base=dict(record["base"]),
        default_base=record.get("default_base"),
        base_values=load_values(record.get("base_values", {})),
        priority=priority,
        trace_parent=trace_parent,
    )


def dump_field_result(result: FieldResult) -> dict[str, Any]:
    """Return what became of a field as JSON."""
    return {
        "path": result.path,
        "outcome": result.outcome.value,
        "rev": result.revision,
        "old": dump_value(result.previous),
        "new": dump_value(result.proposed),
        "reason": result.reason,
    }


def load_field_result(record: Json) -> FieldResult:
    """Return the field's result that `dump_field_result` wrote."""
    return FieldResult(
        path=record["path"],
        outcome=Outcome(record["outcome"]),
        revision=record["rev"],
        previous=load_value(record["old"]),
        proposed=load_value(record["new"]),
        reason=record["reason"],
    )


def dump_result(result: ChangeResult) -> dict[str, Any]:
    """Return what became of a change as JSON."""
    return {
        "id": result.change_id,
        "outcome": result.outcome.value,
        "seq": result.sequence,
        "fields": [dump_field_result(field) for field in result.fields],
        "reason": result.reason,
        "at": result.committed_at.isoformat() if result.committed_at else None,
    }


def load_result(record: Json) -> ChangeResult:
    """Return the result that `dump_result` wrote."""
    return ChangeResult(
        change_id=record["id"],
        outcome=Outcome(record["outcome"]),
        sequence=record["seq"],
        fields=tuple(load_field_result(field) for field in record["fields"]),
        reason=record["reason"],
        committed_at=datetime.fromisoformat(record["at"]) if record["at"] else None,
    )
