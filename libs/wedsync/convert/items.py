"""Items, values and sources as messages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Any

from google.protobuf.message import Message
from google.type import date_pb2

from wedsync.api.common.v1 import item_pb2, source_pb2, value_pb2
from wedsync.model.changes import Collision, FieldState, ItemState, Source
from wedsync.model.items import CATALOGUE, LIFE, FieldType, FieldValue, ItemKind
from wedsync.model.values import money, split_money, split_zoned_time, zoned_time

_NOBODY = Source(organization_id="", actor="")


def kind_to_message(kind: ItemKind) -> item_pb2.ItemKind.ValueType:
    """Return the kind's number in the contract."""
    return item_pb2.ItemKind.Value(f"ITEM_KIND_{kind.value.upper()}")


def kind_from_message(number: item_pb2.ItemKind.ValueType) -> ItemKind:
    """Return the kind of that number. Raises ValueError for one that is not known."""
    return ItemKind(item_pb2.ItemKind.Name(number).removeprefix("ITEM_KIND_").lower())


def source_to_message(source: Source) -> source_pb2.Source:
    """Return a source as a message."""
    return source_pb2.Source(
        organization_id=source.organization_id,
        actor=source.actor,
        link_id=source.link_id or "",
        vendor=source.vendor or "",
        record_id=source.record_id or "",
        category=source.category or "",
        event_id=source.event_id or "",
        policy=source.policy or "",
    )


def source_from_message(message: source_pb2.Source) -> Source:
    """Return the source a message holds."""
    return Source(
        organization_id=message.organization_id,
        actor=message.actor,
        link_id=message.link_id or None,
        vendor=message.vendor or None,
        record_id=message.record_id or None,
        category=message.category or None,
        event_id=message.event_id or None,
        policy=message.policy or None,
    )


def date_to_message(value: str) -> date_pb2.Date:
    """Return a canonical date as a message."""
    day = date.fromisoformat(value)
    return date_pb2.Date(year=day.year, month=day.month, day=day.day)


def date_from_message(message: date_pb2.Date) -> str:
    """Return a message's date in canonical form; nonsense is left for `canonical` to refuse."""
    return f"{message.year:04d}-{message.month:02d}-{message.day:02d}"


def _zoned_to_message(value: str) -> value_pb2.ZonedTime:
    local, zone = split_zoned_time(value)
    return value_pb2.ZonedTime(local_time=local, time_zone=zone)


def _money_to_message(value: str) -> value_pb2.Money:
    units, currency = split_money(value)
    return value_pb2.Money(minor_units=units, currency_code=currency)


def typed_message(kind: FieldType, value: FieldValue) -> Any:
    """Return a present value as the contract types it: a scalar or a message."""
    match kind:
        case FieldType.ZONED_TIME:
            return _zoned_to_message(str(value))
        case FieldType.MONEY:
            return _money_to_message(str(value))
        case FieldType.DATE:
            return date_to_message(str(value))
        case FieldType.TAGS:
            return value_pb2.Tags(tags=value if isinstance(value, tuple) else ())
        case _:
            return value


def _plain(value: Any) -> FieldValue:
    match value:
        case value_pb2.ZonedTime():
            return zoned_time(value.local_time, value.time_zone)
        case value_pb2.Money():
            return money(value.minor_units, value.currency_code)
        case date_pb2.Date():
            return date_from_message(value)
        case value_pb2.Tags():
            return tuple(value.tags)
        case str() | int() | bool():
            return value
    raise TypeError(f"no field value: {type(value).__name__}")  # pragma: no cover - the contract has no other


_SLOT = {
    FieldType.INTEGER: "integer",
    FieldType.BOOL: "flag",
    FieldType.TAGS: "tags",
    FieldType.ZONED_TIME: "zoned_time",
    FieldType.DATE: "date",
    FieldType.MONEY: "money",
}


def value_to_message(kind: ItemKind, path: str, value: FieldValue) -> value_pb2.FieldValue:
    """Return any field's value as a message; `deleted_at` is a flag."""
    if value is None:
        return value_pb2.FieldValue()
    if path == LIFE:
        return value_pb2.FieldValue(flag=bool(value))
    field_type = CATALOGUE[kind][path].type
    return value_pb2.FieldValue(**{_SLOT.get(field_type, "text"): typed_message(field_type, value)})


def value_from_message(message: value_pb2.FieldValue) -> FieldValue:
    """Return the value a message holds."""
    slot = message.WhichOneof("value")
    return None if slot is None else _plain(getattr(message, slot))


def content_to_message(kind: ItemKind, values: Mapping[str, FieldValue]) -> item_pb2.ItemContent:
    """Return an item's values as its typed message."""
    content = item_pb2.ItemContent()
    typed: Message = getattr(content, kind.value)
    typed.SetInParent()
    for path, value in values.items():
        if value is None:
            continue
        shaped = typed_message(CATALOGUE[kind][path].type, value)
        if isinstance(shaped, Message):
            getattr(typed, path).CopyFrom(shaped)
        else:
            setattr(typed, path, shaped)
    return content


def content_from_message(content: item_pb2.ItemContent) -> tuple[ItemKind, dict[str, FieldValue]] | None:
    """Return kind and set values of a typed item; None if no kind is set. Values are not checked yet."""
    name = content.WhichOneof("content")
    if name is None:
        return None
    typed: Message = getattr(content, name)
    return ItemKind(name), {field.name: _plain(value) for field, value in typed.ListFields()}


def item_to_message(wedding_id: str, item: ItemState) -> item_pb2.Item:
    """Return an item with the state of each of its fields."""
    values = {path: state.value for path, state in item.fields.items()}
    return item_pb2.Item(
        wedding_id=wedding_id,
        item_id=item.item_id,
        content=content_to_message(item.kind, values),
        field_states=[_state_to_message(path, state) for path, state in item.fields.items()],
        life=_state_to_message(LIFE, item.life),
        deleted=item.deleted,
    )


def item_from_message(message: item_pb2.Item) -> ItemState:
    """Return the item a message holds; of a collision only its place and who is held survive the way."""
    content = content_from_message(message.content)
    if content is None:
        raise ValueError("an item without content")
    kind, values = content
    return ItemState(
        item_id=message.item_id,
        kind=kind,
        life=_state_from_message(message.life, message.deleted),
        fields={s.path: _state_from_message(s, values.get(s.path)) for s in message.field_states},
    )


@lru_cache(maxsize=4096)
def _known_source(source: Source) -> source_pb2.Source:
    """Return a message to be copied into others: most fields of most items have one of few sources."""
    return source_to_message(source)


def _state_to_message(path: str, state: FieldState) -> item_pb2.FieldState:
    return item_pb2.FieldState(
        path=path,
        revision=state.revision,
        source=_known_source(state.source),
        held_link_ids=sorted(state.collision.held_links) if state.collision else (),
        collision_sequence=state.collision.sequence if state.collision else 0,
    )


def _state_from_message(message: item_pb2.FieldState, value: FieldValue) -> FieldState:
    return FieldState(
        value=tuple(sorted(value)) if isinstance(value, tuple) else value,
        revision=message.revision,
        source=source_from_message(message.source),
        collision=_held(message) if message.held_link_ids or message.collision_sequence else None,
    )


def _held(message: item_pb2.FieldState) -> Collision:
    return Collision(
        sequence=message.collision_sequence,
        proposed=None,
        proposed_by=_NOBODY,
        current_by=_NOBODY,
        also_held=tuple(message.held_link_ids),
    )
