"""The model as messages and errors as gRPC status: the one place that knows both sides."""

from wedsync.convert.changes import (
    change_from_message,
    change_to_message,
    logged_change_from_message,
    logged_change_to_message,
    result_from_message,
    result_to_message,
)
from wedsync.convert.items import (
    content_to_message,
    item_from_message,
    item_to_message,
    kind_from_message,
    kind_to_message,
    source_from_message,
    source_to_message,
    value_from_message,
    value_to_message,
)
from wedsync.convert.status import abort_with, error_from_rpc, to_status

__all__ = [
    "abort_with",
    "change_from_message",
    "change_to_message",
    "content_to_message",
    "error_from_rpc",
    "item_from_message",
    "item_to_message",
    "kind_from_message",
    "kind_to_message",
    "logged_change_from_message",
    "logged_change_to_message",
    "result_from_message",
    "result_to_message",
    "source_from_message",
    "source_to_message",
    "to_status",
    "value_from_message",
    "value_to_message",
]
