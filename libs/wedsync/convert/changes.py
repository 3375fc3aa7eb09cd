"""Changes, their results and the log as messages. Reading a change checks it field by field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from google.protobuf import field_mask_pb2, timestamp_pb2

from wedsync.api.common.v1 import value_pb2
from wedsync.api.sync.v1 import change_pb2
from wedsync.convert.items import (
    content_from_message,
    content_to_message,
    kind_from_message,
    kind_to_message,
    source_from_message,
    source_to_message,
    value_from_message,
    value_to_message,
)
from wedsync.errors import FieldViolation
from wedsync.model.changes import Change, ChangeKind, ChangeResult, FieldResult, Outcome, Priority, Source
from wedsync.model.ids import is_id
from wedsync.model.items import CATALOGUE, LIFE, FieldValue, ItemKind
from wedsync.model.values import BadValue, canonical, objection

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

MAX_MASK = 64
"""Paths in one mask; no kind of item has as many fields."""


def timestamp(moment: datetime) -> timestamp_pb2.Timestamp:
    """Return a moment as a message."""
    # `FromDatetime` takes four times as long, and every change has several.
    since = moment.astimezone(UTC) - _EPOCH
    return timestamp_pb2.Timestamp(
        seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000
    )


def moment(message: timestamp_pb2.Timestamp) -> datetime:
    """Return the moment a message holds, in UTC."""
    return message.ToDatetime(tzinfo=UTC)


def change_to_message(change: Change) -> change_pb2.Change:
    """Return a change as a message, its source included."""
    return change_pb2.Change(
        change_id=change.change_id,
        item_id=change.item_id,
        kind=_change_kind(change.kind),
        content=content_to_message(change.item_kind, change.values),
        update_mask=field_mask_pb2.FieldMask(paths=sorted(change.values)),
        base_revisions=change.base,
        default_base_revision=change.default_base,
        base_values={p: value_to_message(change.item_kind, p, v) for p, v in change.base_values.items()},
        source=source_to_message(change.source),
        trace_parent=change.trace_parent,
    )


def change_from_message(
    message: change_pb2.Change, *, at: str, source: Source, trace_parent: str, problems: list[FieldViolation]
) -> Change | None:
    """Return the change a message proposes.

    Whatever is wrong is appended to `problems`, named from `at` on (`changes[2]`); None then.
    The source comes from the caller's proof, never from the message; a message that names one speaks
    for a vendor, whose people are not asked to write their contacts more carefully.
    """
    reader = _Reader(at, problems, own=not message.HasField("source"))
    kind = reader.change_kind(message)
    reader.ids(message)
    item_kind, values = reader.values(message, kind)
    reader.bases(message, item_kind)
    base_values = reader.base_values(message, item_kind)
    reader.trace(message)
    if reader.failed or kind is None:
        return None
    return Change(
        change_id=message.change_id,
        item_id=message.item_id,
        item_kind=item_kind,
        kind=kind,
        source=source,
        values=values,
        base=dict(message.base_revisions),
        default_base=message.default_base_revision if message.HasField("default_base_revision") else None,
        base_values=base_values,
        trace_parent=message.trace_parent or trace_parent,
    )


class _Reader:
    """Collects what is wrong with one change."""

    def __init__(self, at: str, problems: list[FieldViolation], *, own: bool) -> None:
        self._at, self._problems, self._own, self.failed = at, problems, own, False

    def refuse(self, field: str, description: str) -> None:
        self.failed = True
        self._problems.append(FieldViolation(f"{self._at}.{field}", description))

    def change_kind(self, message: change_pb2.Change) -> ChangeKind | None:
        try:
            return ChangeKind(change_pb2.ChangeKind.Name(message.kind).removeprefix("CHANGE_KIND_").lower())
        except ValueError:
            self.refuse("kind", "say what to do: CREATE, UPDATE, DELETE or RESTORE")
            return None

    def ids(self, message: change_pb2.Change) -> None:
        for field in ("change_id", "item_id"):
            if not is_id(getattr(message, field)):
                self.refuse(field, "must be a UUID in lower case: 0198c7a2-…")

    def values(
        self, message: change_pb2.Change, kind: ChangeKind | None
    ) -> tuple[ItemKind, dict[str, FieldValue]]:
        content = content_from_message(message.content)
        if content is None:
            if kind in {ChangeKind.CREATE, ChangeKind.UPDATE}:
                self.refuse("content", "is empty; set one kind of item, such as timeline_event")
            return ItemKind.TIMELINE_EVENT, {}
        item_kind, found = content
        if kind not in {ChangeKind.CREATE, ChangeKind.UPDATE}:
            return item_kind, {}
        return item_kind, self._masked(message, kind, item_kind, found)

    def bases(self, message: change_pb2.Change, item_kind: ItemKind) -> None:
        bases = message.base_revisions
        if min([*bases.values(), message.default_base_revision]) < 0:
            self.refuse("base_revisions", "holds a negative revision; 0 means nothing was seen")
        # A misspelt field would silently mean that the author insists.
        fields = {*CATALOGUE[item_kind], LIFE}
        if message.content.WhichOneof("content") and (unknown := sorted(set(bases) - fields)):
            self.refuse("base_revisions", f"names {_few(unknown)}, which a {item_kind} does not have")
        if len(bases) > MAX_MASK:
            self.refuse("base_revisions", f"names {len(bases)} fields; at most {MAX_MASK}")

    def base_values(self, message: change_pb2.Change, item_kind: ItemKind) -> dict[str, FieldValue]:
        if len(message.base_values) > MAX_MASK:
            self.refuse("base_values", f"names {len(message.base_values)} fields; at most {MAX_MASK}")
            return {}
        return {path: self._base_value(item_kind, path, value) for path, value in message.base_values.items()}

    def _base_value(self, item_kind: ItemKind, path: str, value: value_pb2.FieldValue) -> FieldValue:
        try:
            return canonical(item_kind, path, value_from_message(value))
        except BadValue as bad:
            self.refuse(f"base_values[{path[:40]}]", str(bad))
            return None

    def trace(self, message: change_pb2.Change) -> None:
        if message.trace_parent and not _TRACE_PARENT.fullmatch(message.trace_parent):
            self.refuse("trace_parent", "is no W3C traceparent; leave it out for the call's own")

    def _masked(
        self,
        message: change_pb2.Change,
        kind: ChangeKind,
        item_kind: ItemKind,
        found: Mapping[str, FieldValue],
    ) -> dict[str, FieldValue]:
        paths = list(message.update_mask.paths) or (list(found) if kind is ChangeKind.CREATE else [])
        if not paths:
            self.refuse("update_mask.paths", "is empty; name the fields to set, such as starts_at")
            return {}
        if len(paths) > MAX_MASK:
            self.refuse("update_mask.paths", f"names {len(paths)} fields; at most {MAX_MASK}")
            return {}
        if outside := sorted(set(found) - set(paths)):
            self.refuse("update_mask.paths", f"does not name {_few(outside)}, which the content sets")
        checked = {path: self._value(item_kind, path, found.get(path)) for path in dict.fromkeys(paths)}
        self._required(kind, item_kind, checked)
        return checked

    def _value(self, item_kind: ItemKind, path: str, value: FieldValue) -> FieldValue:
        try:
            kept = canonical(item_kind, path, value)
        except BadValue as bad:
            where = f"content.{item_kind}.{path}" if path in CATALOGUE[item_kind] else "update_mask.paths"
            self.refuse(where, str(bad))
            return None
        if self._own and (words := objection(item_kind, path, kept)):
            self.refuse(f"content.{item_kind}.{path}", words)
        return kept

    def _required(self, kind: ChangeKind, item_kind: ItemKind, values: Mapping[str, FieldValue]) -> None:
        for path, spec in CATALOGUE[item_kind].items():
            meant = kind is ChangeKind.CREATE or path in values
            if spec.required and meant and values.get(path) is None and not self.failed:
                self.refuse(f"content.{item_kind}.{path}", "must not be empty")


def _few(paths: list[str]) -> str:
    return ", ".join(path[:40] for path in paths[:5])


def result_to_message(item_kind: ItemKind, result: ChangeResult) -> change_pb2.ChangeResult:
    """Return what became of a change as a message."""
    return change_pb2.ChangeResult(
        change_id=result.change_id,
        outcome=outcome_to_message(result.outcome),
        sequence=result.sequence,
        fields=[_field_result(item_kind, field) for field in result.fields],
        reason=result.reason,
        commit_time=timestamp(result.committed_at) if result.committed_at else None,
    )


def result_from_message(message: change_pb2.ChangeResult) -> ChangeResult:
    """Return what became of a change."""
    return ChangeResult(
        change_id=message.change_id,
        outcome=outcome_from_message(message.outcome),
        sequence=message.sequence,
        fields=tuple(_field_result_from(field) for field in message.fields),
        reason=message.reason,
        committed_at=moment(message.commit_time) if message.HasField("commit_time") else None,
    )


def logged_change_to_message(
    *,
    wedding_id: str,
    change: Change,
    result: ChangeResult,
) -> change_pb2.LoggedChange:
    """Return one entry of a wedding's log as a message."""
    return change_pb2.LoggedChange(
        wedding_id=wedding_id,
        sequence=result.sequence,
        change_id=change.change_id,
        commit_time=timestamp(result.committed_at) if result.committed_at else None,
        source=source_to_message(change.source),
        kind=_change_kind(change.kind),
        item_id=change.item_id,
        item_kind=kind_to_message(change.item_kind),
        fields=[_field_result(change.item_kind, field) for field in result.fields],
        priority=priority_to_message(change.priority),
        trace_parent=change.trace_parent,
    )


def logged_change_from_message(message: change_pb2.LoggedChange) -> tuple[Change, ChangeResult]:
    """Return change and result of an entry of a wedding's log.

    A log says what became of each field, not what was sent: the change names those fields and the
    values that were proposed or merged, and nothing of what its author had seen.
    """
    fields = tuple(_field_result_from(field) for field in message.fields)
    change = Change(
        change_id=message.change_id,
        item_id=message.item_id,
        item_kind=kind_from_message(message.item_kind),
        kind=ChangeKind(change_pb2.ChangeKind.Name(message.kind).removeprefix("CHANGE_KIND_").lower()),
        source=source_from_message(message.source),
        values={field.path: field.proposed for field in fields if field.path != LIFE},
        priority=priority_from_message(message.priority),
        trace_parent=message.trace_parent,
    )
    result = ChangeResult(
        change_id=message.change_id,
        outcome=Outcome.APPLIED,
        sequence=message.sequence,
        fields=fields,
        committed_at=moment(message.commit_time) if message.HasField("commit_time") else None,
    )
    return change, result


def priority_to_message(priority: Priority) -> change_pb2.Priority.ValueType:
    """Return the lane's number in the contract."""
    return change_pb2.Priority.Value(f"PRIORITY_{priority.value.upper()}")


def priority_from_message(number: change_pb2.Priority.ValueType) -> Priority:
    """Return the lane of that number; one that is not known is an everyday edit."""
    try:
        return Priority(change_pb2.Priority.Name(number).removeprefix("PRIORITY_").lower())
    except ValueError:
        return Priority.NORMAL


def _change_kind(kind: ChangeKind) -> change_pb2.ChangeKind.ValueType:
    return change_pb2.ChangeKind.Value(f"CHANGE_KIND_{kind.value.upper()}")


def outcome_to_message(outcome: Outcome) -> change_pb2.Outcome.ValueType:
    """Return the outcome's number in the contract."""
    return change_pb2.Outcome.Value(f"OUTCOME_{outcome.value.upper()}")


def outcome_from_message(number: change_pb2.Outcome.ValueType) -> Outcome:
    """Return the outcome of that number. Raises ValueError for one that is not known."""
    return Outcome(change_pb2.Outcome.Name(number).removeprefix("OUTCOME_").lower())


def _field_result(item_kind: ItemKind, field: FieldResult) -> change_pb2.FieldResult:
    return change_pb2.FieldResult(
        path=field.path,
        outcome=outcome_to_message(field.outcome),
        revision=field.revision,
        previous=value_to_message(item_kind, field.path, field.previous),
        proposed=value_to_message(item_kind, field.path, field.proposed),
        reason=field.reason,
    )


def _field_result_from(message: change_pb2.FieldResult) -> FieldResult:
    return FieldResult(
        path=message.path,
        outcome=outcome_from_message(message.outcome),
        revision=message.revision,
        previous=value_from_message(message.previous),
        proposed=value_from_message(message.proposed),
        reason=message.reason,
    )
