"""Items and the contract: one catalogue, one shape."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor

from wedsync.api.common.v1 import item_pb2
from wedsync.api.sync.v1 import change_pb2
from wedsync.convert import content_to_message, item_from_message, kind_from_message, kind_to_message
from wedsync.convert.changes import priority_from_message, priority_to_message
from wedsync.convert.items import content_from_message
from wedsync.model.changes import Outcome, Priority
from wedsync.model.items import CATALOGUE, FieldType, ItemKind

_SHAPES: dict[FieldType, Any] = {
    FieldType.TEXT: FieldDescriptor.TYPE_STRING,
    FieldType.LINES: FieldDescriptor.TYPE_STRING,
    FieldType.ENUM: FieldDescriptor.TYPE_STRING,
    FieldType.BOOL: FieldDescriptor.TYPE_BOOL,
    FieldType.INTEGER: FieldDescriptor.TYPE_INT64,
    FieldType.DATE: "google.type.Date",
    FieldType.ZONED_TIME: "wedsync.api.common.v1.ZonedTime",
    FieldType.MONEY: "wedsync.api.common.v1.Money",
    FieldType.TAGS: "wedsync.api.common.v1.Tags",
}


@pytest.mark.parametrize("kind", ItemKind)
def test_the_contract_has_exactly_the_catalogues_fields(kind: ItemKind) -> None:
    """Each kind's message has the fields of the catalogue, in its types; yes/no and numbers can be unset."""
    message = item_pb2.ItemContent.DESCRIPTOR.fields_by_name[kind].message_type
    assert message is not None
    shapes = {f.name: f.message_type.full_name if f.message_type else f.type for f in message.fields}
    assert shapes == {path: _SHAPES[spec.type] for path, spec in CATALOGUE[kind].items()}
    for path, spec in CATALOGUE[kind].items():
        if spec.type in {FieldType.BOOL, FieldType.INTEGER}:
            assert message.fields_by_name[path].has_presence


def test_every_kind_and_lane_has_its_number() -> None:
    """Kinds of item and lanes translate both ways; outcomes have a number each."""
    for kind in ItemKind:
        assert kind_from_message(kind_to_message(kind)) is kind
    for priority in Priority:
        assert priority_from_message(priority_to_message(priority)) is priority
    names = {f"OUTCOME_{outcome.upper()}" for outcome in Outcome}
    assert names | {"OUTCOME_UNSPECIFIED"} == set(change_pb2.Outcome.keys())


@pytest.mark.parametrize("number", [item_pb2.ITEM_KIND_UNSPECIFIED, 99])
def test_an_unknown_kind_is_refused(number: Any) -> None:
    """A number no kind has is a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        kind_from_message(number)


@pytest.mark.parametrize("number", [change_pb2.PRIORITY_UNSPECIFIED, 99])
def test_an_unknown_lane_is_an_everyday_edit(number: Any) -> None:
    """A lane of a newer service's does not stop an older one."""
    assert priority_from_message(number) is Priority.NORMAL


@pytest.mark.parametrize("kind", ItemKind)
def test_an_empty_item_still_says_what_it_is(kind: ItemKind) -> None:
    """Content without any value keeps its kind over the wire."""
    wire = content_to_message(kind, {}).SerializeToString()
    assert content_from_message(item_pb2.ItemContent.FromString(wire)) == (kind, {})


def test_an_item_without_content_is_refused() -> None:
    """An item that does not say its kind is no item."""
    with pytest.raises(ValueError, match="without content"):
        item_from_message(item_pb2.Item(item_id="i"))
