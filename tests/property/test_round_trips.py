"""What is written is what is read: canonical values, stored JSON, messages of the contract."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.property.values import changes, fields, items, lines, results, sources
from wedsync.api.common.v1 import item_pb2, value_pb2
from wedsync.api.sync.v1 import change_pb2
from wedsync.convert import (
    change_from_message,
    change_to_message,
    content_to_message,
    item_from_message,
    item_to_message,
    logged_change_from_message,
    logged_change_to_message,
    result_from_message,
    result_to_message,
    source_from_message,
    source_to_message,
    value_from_message,
    value_to_message,
)
from wedsync.convert.items import content_from_message
from wedsync.errors import FieldViolation
from wedsync.model import codec
from wedsync.model.changes import Change, ChangeResult, FieldState, ItemState, Source
from wedsync.model.items import LIFE, FieldValue, ItemKind
from wedsync.model.values import BadValue, canonical

Field = tuple[ItemKind, str, FieldValue]


@given(fields())
def test_a_canonical_value_stays_as_it_is(field: Field) -> None:
    """Checking a canonical value changes nothing."""
    kind, path, value = field
    assert canonical(kind, path, value) == value


@given(fields(), st.one_of(st.text(), st.integers(), st.booleans(), st.lists(st.text()).map(tuple), lines))
def test_whatever_comes_is_made_canonical_or_refused(field: Field, value: FieldValue) -> None:
    """Any value is refused as `BadValue`, or becomes one that is canonical and can be stored and sent."""
    kind, path, _ = field
    try:
        found = canonical(kind, path, value)
    except BadValue:
        return
    assert canonical(kind, path, found) == found
    assert value_from_message(value_to_message(kind, path, found)) == found
    assert codec.load_value(json.loads(json.dumps(codec.dump_value(found)))) == found


@given(fields())
def test_values_travel_as_messages(field: Field) -> None:
    """A value comes out of its message, and out of an item's typed content, as it went in."""
    kind, path, value = field
    wire = value_to_message(kind, path, value).SerializeToString()
    assert value_from_message(value_pb2.FieldValue.FromString(wire)) == value
    content = item_pb2.ItemContent.FromString(content_to_message(kind, {path: value}).SerializeToString())
    assert content_from_message(content) == (kind, {} if value is None else {path: value})


@given(st.none() | st.booleans())
def test_life_travels_as_a_flag(value: bool | None) -> None:
    """The pseudo-field `deleted_at` is a flag in messages, for every kind."""
    for kind in ItemKind:
        assert value_from_message(value_to_message(kind, LIFE, value)) == value


@given(sources)
def test_sources_travel(source: Source) -> None:
    """A source survives messages and stored JSON."""
    assert source_from_message(source_to_message(source)) == source
    assert codec.load_source(json.loads(json.dumps(codec.dump_source(source)))) == source


@given(items())
def test_items_travel_as_messages(item: ItemState) -> None:
    """Of an item every value, revision and source survives; of a collision, who is held."""
    wire = item_to_message("w", item).SerializeToString()
    message = item_pb2.Item.FromString(wire)
    found = item_from_message(message)
    assert message.wedding_id == "w"
    assert (found.item_id, found.kind, found.deleted) == (item.item_id, item.kind, item.deleted)
    assert {path: _essence(state) for path, state in found.fields.items()} == {
        path: _essence(state) for path, state in item.fields.items()
    }
    assert _essence(found.life) == _essence(item.life)


@given(items())
def test_items_are_stored_whole(item: ItemState) -> None:
    """An item survives stored JSON with everything, collisions included."""
    assert codec.load_item(json.loads(json.dumps(codec.dump_item(item)))) == item


@given(changes())
def test_changes_travel_as_messages(change: Change) -> None:
    """A change survives its message; the source is the one the reader has proof of."""
    problems: list[FieldViolation] = []
    wire = change_to_message(change).SerializeToString()
    found = change_from_message(
        change_pb2.Change.FromString(wire),
        at="changes[0]",
        source=change.source,
        trace_parent="",
        problems=problems,
    )
    assert problems == []
    assert found == change


@given(changes())
def test_changes_are_stored_without_what_belongs_to_the_try(change: Change) -> None:
    """A change survives stored JSON, priority and trace being handed in again."""
    stored = json.loads(json.dumps(codec.dump_change(change)))
    assert codec.load_change(stored, trace_parent=change.trace_parent) == change
    assert codec.dump_change(replace(change, trace_parent="")) == codec.dump_change(change)


@given(results())
def test_results_travel_and_are_stored(case: tuple[ItemKind, ChangeResult]) -> None:
    """What became of a change survives its message and stored JSON."""
    kind, result = case
    wire = result_to_message(kind, result).SerializeToString()
    assert result_from_message(change_pb2.ChangeResult.FromString(wire)) == result
    assert codec.load_result(json.loads(json.dumps(codec.dump_result(result)))) == result


@given(changes(), results())
def test_the_log_says_what_changed(change: Change, case: tuple[ItemKind, ChangeResult]) -> None:
    """A log entry's message names the change, its source and what became of each field."""
    kind, result = case
    change = replace(change, item_kind=kind)
    message = logged_change_to_message(wedding_id="w", change=change, result=result)
    assert (message.change_id, message.sequence) == (change.change_id, result.sequence)
    assert source_from_message(message.source) == change.source
    assert [field.path for field in message.fields] == [field.path for field in result.fields]
    assert message.HasField("commit_time") == (result.committed_at is not None)
    again, became = logged_change_from_message(message)
    assert (again.item_id, again.kind, again.source) == (change.item_id, change.kind, change.source)
    assert (became.sequence, became.committed_at, became.fields) == (
        result.sequence,
        result.committed_at,
        result.fields,
    )


def _essence(state: FieldState) -> tuple[FieldValue, int, Source, frozenset[str]]:
    held = state.collision.held_links if state.collision else frozenset()
    return state.value, state.revision, state.source, held
