"""What Slack tells us on its own: events that hint at messages, and clicks that decide. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.gateway.vendors.port import Decision, VendorGarbage
from services.gateway.vendors.slack.blocks import CHOICES
from services.gateway.vendors.slack.messages import is_gone, is_spoken, is_ts, ts_of
from wedsync.model.ids import is_id

Json = Mapping[str, Any]


def hinted(event: Json, channel_id: str) -> list[str]:
    """Return the messages of the channel an event points at. Raises `VendorGarbage` if it makes no sense."""
    if _text(event, "type") != "event_callback":
        return []
    told = _object(event, "event")
    if _text(told, "type") != "message" or _text(told, "channel") != channel_id:
        return []
    subtype = told.get("subtype")
    if subtype == "message_deleted":
        return [_deleted(told)]
    message = _object(told, "message") if subtype == "message_changed" else told
    ts = ts_of(message)
    return [ts] if is_spoken(message) or is_gone(message) else []


def decided(event: Json, channel_id: str) -> list[Decision]:
    """Return what a person decided by our buttons in the channel. Raises `VendorGarbage`."""
    if _text(event, "type") != "block_actions" or not _is_in(event, channel_id):
        return []
    ours = [action for action in _actions(event) if action.get("action_id") in CHOICES]
    return [_decision(event, action) for action in ours]


def _decision(event: Json, action: Json) -> Decision:
    conflict_id = _text(action, "value")
    if not is_id(conflict_id):
        raise VendorGarbage("a button of ours names no conflict")
    choice = CHOICES[_text(action, "action_id")]
    return Decision(conflict_id=conflict_id, choice=choice, actor=_text(_object(event, "user"), "id"))


def _is_in(event: Json, channel_id: str) -> bool:
    """Say whether the click was in the channel: an app's other places have clicks of their own."""
    channel = event.get("channel")
    return isinstance(channel, dict) and channel.get("id") == channel_id


def _actions(event: Json) -> Sequence[Json]:
    actions = event.get("actions")
    if not isinstance(actions, list) or not all(isinstance(action, dict) for action in actions):
        raise VendorGarbage("a click lacks its actions")
    return actions


def _deleted(told: Json) -> str:
    ts = told.get("deleted_ts")
    if not is_ts(ts):
        raise VendorGarbage("the event of a deleted message does not say which")
    return str(ts)


def _object(holder: Json, name: str) -> Json:
    value = holder.get(name)
    if not isinstance(value, dict):
        raise VendorGarbage(f"{name} is no object")
    return value


def _text(holder: Json, name: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str) or not value:
        raise VendorGarbage(f"{name} is no text")
    return value
