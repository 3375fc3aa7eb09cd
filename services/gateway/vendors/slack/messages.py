"""Slack's messages as vendor records, and which of them count. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.gateway.vendors.field_rules import Direction, Equivalence, FieldRule
from services.gateway.vendors.port import OutOfScope, VendorGarbage, VendorRecord
from services.gateway.vendors.slack.blocks import conflict_of, drawn
from services.gateway.vendors.slack.text import read, written
from wedsync.model.items import FieldValue, ItemKind
from wedsync.model.values import MAX_LINES, MAX_TEXT

Json = Mapping[str, Any]

# Decimal seconds as text, never a number: it is the message's name within its channel.
_TS = re.compile(r"[0-9]{1,12}\.[0-9]{6}")
_EVENT_TYPE = "wedsync_item"
# What somebody said to the channel; every other subtype is Slack speaking of itself (joins, topics, pins).
_SPOKEN = frozenset({None, "bot_message", "me_message", "file_share", "thread_broadcast"})
# What stays of a deleted message that has replies.
_TOMBSTONE = "tombstone"
# People may write more, and stranger, than an item can hold.
_LINES = FieldRule(direction=Direction.IN, equivalence=Equivalence.TRIMMED, max_length=MAX_LINES)
_LINE = FieldRule(direction=Direction.IN, equivalence=Equivalence.SINGLE_LINE, max_length=MAX_TEXT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """Who we are in the workspace."""

    user_id: str
    bot_id: str | None = None

    def wrote(self, message: Json) -> bool:
        """Say whether the message is ours, and so ours to change."""
        by_app = self.bot_id is not None and message.get("bot_id") == self.bot_id
        return by_app or message.get("user") == self.user_id


def is_ts(value: Any) -> bool:
    """Say whether the value names a message."""
    return isinstance(value, str) and _TS.fullmatch(value) is not None


def ts_of(message: Json) -> str:
    """Return the message's name. Raises `VendorGarbage` if it has none."""
    if not is_ts(message.get("ts")):
        raise VendorGarbage("a message lacks its ts")
    return str(message["ts"])


def is_gone(message: Json) -> bool:
    """Say whether only the place of a deleted message is left."""
    return message.get("subtype") == _TOMBSTONE


def is_spoken(message: Json) -> bool:
    """Say whether somebody said this to the whole channel."""
    subtype = message.get("subtype")
    reply = message.get("thread_ts") not in {None, message.get("ts")}
    return subtype in _SPOKEN and (not reply or subtype == "thread_broadcast")


def record(message: Json, bot: Bot) -> VendorRecord:
    """Return the message as a record.

    Raises `OutOfScope` if it says nothing to the channel, `VendorGarbage` if it makes no sense.
    """
    ts, ours, text = ts_of(message), bot.wrote(message), _text(message)
    if not is_spoken(message) or text is None:
        raise OutOfScope("nobody said this to the channel in words")
    fields: dict[str, FieldValue] = {"text": text}
    if ours:
        # The author of what we post stands in the item, and Slack knows only our bot.
        fields["conflict_id"] = conflict_of(message)
    else:
        fields["author"] = _author(message)
    return VendorRecord(
        record_id=ts,
        kind=ItemKind.MESSAGE,
        version=_version(message, ts),
        fields=fields,
        marker=marker_of(message) if ours else None,
        writable=ours,
        native=message,
    )


def body(text: str, conflict_id: str | None) -> dict[str, Any]:
    """Return what a message must be given to look so. `parse` keeps Slack from making links of our words."""
    return {"text": written(text), "blocks": drawn(text, conflict_id), "parse": "none", "link_names": False}


def mark(item_id: str) -> dict[str, Any]:
    """Return the metadata by which a message of ours is found again."""
    return {"event_type": _EVENT_TYPE, "event_payload": {"item_id": item_id}}


def marker_of(message: Json) -> str | None:
    """Return our item id, if the message carries it."""
    metadata = message.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("event_type") != _EVENT_TYPE:
        return None
    payload = metadata.get("event_payload")
    item_id = payload.get("item_id") if isinstance(payload, dict) else None
    return item_id if isinstance(item_id, str) else None


def _text(message: Json) -> FieldValue:
    text = message.get("text")
    if not isinstance(text, str | None):
        raise VendorGarbage("a message's text is no text")
    return _LINES.holds(read(text or ""))


def _author(message: Json) -> FieldValue:
    profile = message.get("bot_profile")
    name = profile.get("name") if isinstance(profile, dict) else None
    known = (message.get("user"), message.get("username"), name, message.get("bot_id"))
    return _LINE.holds(next((entry for entry in known if isinstance(entry, str) and entry), None))


def _version(message: Json, ts: str) -> str:
    edited = message.get("edited")
    edited_ts = edited.get("ts") if isinstance(edited, dict) else None
    return edited_ts if isinstance(edited_ts, str) and edited_ts else ts
