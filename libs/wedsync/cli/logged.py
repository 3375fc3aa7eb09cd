"""Entries of the log and items, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wedsync.cli.output import moment

if TYPE_CHECKING:
    from wedsync.api.common.v1.item_pb2 import Item
    from wedsync.api.common.v1.source_pb2 import Source
    from wedsync.api.common.v1.value_pb2 import FieldValue
    from wedsync.api.sync.v1.change_pb2 import Change, ChangeResult, FieldResult, LoggedChange


def line(change: LoggedChange) -> str:
    """Return one entry of the log as a line."""
    at = moment(change, "commit_time")
    return f"{change.sequence:>6}  {at}  {who(change.source)}  {act(change)}  {fields(change)}"


def act(change: LoggedChange | Change) -> str:
    """Return what a change does to which item."""
    from wedsync.api.sync.v1 import change_pb2  # noqa: PLC0415 - gRPC only where a call is made

    verb = change_pb2.ChangeKind.Name(change.kind).removeprefix("CHANGE_KIND_").lower()
    return f"{verb} {_kind(change)} {change.item_id}"


def fields(change: LoggedChange | ChangeResult) -> str:
    """Return each field with the value before, the value proposed, and what became of it."""
    return "; ".join(map(_field, change.fields))


def became(result: ChangeResult | FieldResult) -> str:
    """Return the outcome as a word."""
    from wedsync.api.sync.v1 import change_pb2  # noqa: PLC0415 - see above

    return change_pb2.Outcome.Name(result.outcome).removeprefix("OUTCOME_").lower()


def why(source: Source) -> str:
    """Return what made a change where no person did: a policy, a rewind, or the vendor's event."""
    return source.policy or (f"event {source.event_id}" if source.event_id else "")


def who(source: Source) -> str:
    """Return who set a value: the vendor, else the person or service."""
    return source.vendor or source.actor or "unknown"


def value(message: FieldValue) -> str:
    """Return a field's value as text."""
    from wedsync.convert import value_from_message  # noqa: PLC0415 - see above

    return _text(value_from_message(message))


def said(item: Item) -> str:
    """Return what an item says, field by field."""
    from wedsync.convert import item_from_message  # noqa: PLC0415 - see above

    fields = item_from_message(item).fields
    return "; ".join(
        f"{path}: {_text(state.value)}" for path, state in fields.items() if state.value is not None
    )


def _kind(change: LoggedChange | Change) -> str:
    from wedsync.api.sync.v1 import change_pb2  # noqa: PLC0415 - see above
    from wedsync.convert import kind_from_message  # noqa: PLC0415 - see above

    if isinstance(change, change_pb2.Change):
        return change.content.WhichOneof("content") or ""
    return kind_from_message(change.item_kind)


def _field(result: FieldResult) -> str:
    outcome = became(result)
    note = "" if outcome == "applied" else f" ({outcome})"
    return f"{result.path}: {value(result.previous)} → {value(result.proposed)}{note}"


def _text(content: object) -> str:
    if isinstance(content, tuple):
        return ", ".join(map(str, content))
    return "(nothing)" if content is None else str(content)
