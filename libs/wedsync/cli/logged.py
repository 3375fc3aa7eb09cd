"""Entries of the log and items, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wedsync.cli.output import moment

if TYPE_CHECKING:
    from wedsync.api.common.v1.item_pb2 import Item
    from wedsync.api.common.v1.source_pb2 import Source
    from wedsync.api.common.v1.value_pb2 import FieldValue
    from wedsync.api.sync.v1.change_pb2 import FieldResult, LoggedChange


def line(change: LoggedChange) -> str:
    """Return one entry of the log as a line."""
    from wedsync.api.sync.v1 import change_pb2  # noqa: PLC0415 - gRPC only where a call is made
    from wedsync.convert import kind_from_message  # noqa: PLC0415 - see above

    verb = change_pb2.ChangeKind.Name(change.kind).removeprefix("CHANGE_KIND_").lower()
    kind = kind_from_message(change.item_kind)
    fields = "; ".join(map(_field, change.fields))
    at = moment(change, "commit_time")
    return f"{change.sequence:>6}  {at}  {who(change.source)}  {verb} {kind} {change.item_id}  {fields}"


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


def _field(result: FieldResult) -> str:
    from wedsync.api.sync.v1 import change_pb2  # noqa: PLC0415 - see above

    outcome = change_pb2.Outcome.Name(result.outcome).removeprefix("OUTCOME_").lower()
    note = "" if outcome == "applied" else f" ({outcome})"
    return f"{result.path}: {value(result.previous)} → {value(result.proposed)}{note}"


def _text(content: object) -> str:
    if isinstance(content, tuple):
        return ", ".join(map(str, content))
    return "(nothing)" if content is None else str(content)
