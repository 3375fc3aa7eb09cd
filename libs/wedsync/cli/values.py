"""A field's value as people read it in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wedsync.api.common.v1.value_pb2 import FieldValue


def plain(message: FieldValue) -> str:
    """Return a value as text, a dash for none."""
    from wedsync.convert.items import value_from_message  # noqa: PLC0415 - gRPC only where a call is made

    value = value_from_message(message)
    if value is None:
        return "-"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
