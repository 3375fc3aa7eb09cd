"""The workspace behind the simulator: its channels, what is said in them, and the rules of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from wedsync.clock import Clock
from wedsync.testing.slack import markup, pages
from wedsync.testing.slack.refusal import Refused
from wedsync.testing.slack.shape import Message, blocks_of, metadata_of, text_of

TEAM, APP = "T0WEDSYNC", "A0WEDSYNC"
BOT_USER, BOT = "U0WEDBOT", "B0WEDBOT"
CHANNEL = "C0WEDDING"
"""A channel that every workspace has, and the bot is in."""

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_MICROSECONDS = 1_000_000


@dataclass(slots=True, kw_only=True)
class Channel:
    """A channel; its messages by ts, oldest first."""

    channel_id: str
    name: str
    archived: bool = False
    member: bool = True
    """Whether the bot is in it."""
    messages: dict[str, Message] = field(default_factory=dict)
    newest: int = 0
    """The newest ts given, in microseconds: each is used once, also when its message is deleted."""


class Workspace:
    """What Slack keeps. What the app is to be told of is collected until it is taken."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.edit_window_seconds: float | None = None
        self.channels: dict[str, Channel] = {}
        self._fired: list[Message] = []
        self.add_channel(CHANNEL, "wedding")

    def add_channel(self, channel_id: str, name: str, *, member: bool = True) -> Channel:
        """Open a channel."""
        self.channels[channel_id] = Channel(channel_id=channel_id, name=name, member=member)
        return self.channels[channel_id]

    def take_fired(self) -> list[Message]:
        """Return the events since this was last asked, oldest first."""
        fired, self._fired = self._fired, []
        return fired

    def auth_test(self, _: Mapping[str, Any]) -> Message:
        """Say whose token it is."""
        url = f"https://{TEAM.lower()}.slack.com/"
        return {"url": url, "team_id": TEAM, "user": "wedsync", "user_id": BOT_USER, "bot_id": BOT}

    def info(self, arguments: Mapping[str, Any]) -> Message:
        """Describe a channel."""
        channel = self._channel(arguments)
        shown = {"id": channel.channel_id, "name": channel.name, "is_channel": True, "is_private": False}
        return {"channel": {**shown, "is_archived": channel.archived, "is_member": channel.member}}

    def history(self, arguments: Mapping[str, Any]) -> Message:
        """List what was said to a channel, newest first."""
        channel = self._joined(arguments)
        return pages.page(channel.messages.values(), arguments)

    def replies(self, arguments: Mapping[str, Any]) -> Message:
        """List a thread, oldest first."""
        channel = self._joined(arguments)
        parent = str(arguments.get("ts"))
        if parent not in channel.messages:
            raise Refused("thread_not_found")
        found = [m for m in channel.messages.values() if parent in {m["ts"], m.get("thread_ts")}]
        return {"messages": pages.shown(found, arguments), "has_more": False}

    def post(self, arguments: Mapping[str, Any]) -> Message:
        """Post as the app's bot."""
        channel = self._joined(arguments)
        if channel.archived:
            raise Refused("is_archived")
        text, blocks, metadata = text_of(arguments), blocks_of(arguments), metadata_of(arguments)
        if not text.strip() and not blocks:
            raise Refused("no_text")
        told: Message = {"text": markup.posted(text, parse=str(arguments.get("parse", "")))}
        told |= {"blocks": blocks} if blocks else {}
        told |= {"metadata": metadata} if metadata else {}
        kept = self.keep(channel, {**_BY_BOT, **told})
        return {"channel": channel.channel_id, "ts": kept["ts"], "message": dict(kept)}

    def update(self, arguments: Mapping[str, Any]) -> Message:
        """Change a message of the bot's. A text without blocks takes the blocks away."""
        channel = self._joined(arguments)
        before = self._own(channel, arguments, "cant_update_message")
        age = self._now() - _micros(before["ts"])
        if self.edit_window_seconds is not None and age > self.edit_window_seconds * _MICROSECONDS:
            raise Refused("edit_window_closed")
        text, blocks, metadata = text_of(arguments), blocks_of(arguments), metadata_of(arguments)
        if not text.strip() and not blocks:
            raise Refused("no_text")
        after = {name: value for name, value in before.items() if name != "blocks"}
        after |= {"text": markup.posted(text, parse=str(arguments.get("parse", "")))} if text else {}
        # Slack does not call a message edited whose blocks were given anew.
        after |= {"blocks": blocks} if blocks else {"edited": self.edited(channel, BOT_USER)}
        after |= {"metadata": metadata} if metadata else {}
        self.change(channel, before, after)
        told = {name: value for name, value in after.items() if name != "ts"}
        return {"channel": channel.channel_id, "ts": before["ts"], "text": after["text"], "message": told}

    def delete(self, arguments: Mapping[str, Any]) -> Message:
        """Delete a message of the bot's."""
        channel = self._joined(arguments)
        message = self._own(channel, arguments, "cant_delete_message")
        self.remove(channel, message)
        return {"channel": channel.channel_id, "ts": message["ts"]}

    def keep(self, channel: Channel, message: Mapping[str, Any]) -> Message:
        """Take a new message into a channel, give it its ts, and tell the app."""
        kept = {"type": "message", **message, "ts": self._next_ts(channel)}
        channel.messages[kept["ts"]] = kept
        self._fire(channel, {**pages.bare(kept), "event_ts": kept["ts"], "channel_type": "channel"})
        return kept

    def change(self, channel: Channel, before: Message, after: Message) -> None:
        """Put a changed message in its place and tell the app."""
        channel.messages[before["ts"]] = after
        told = {"message": pages.bare(after), "previous_message": pages.bare(before)}
        self._fire_hidden(channel, {"subtype": "message_changed", **told})

    def remove(self, channel: Channel, message: Message) -> None:
        """Take a message away and tell the app; where others replied to it, its place stays."""
        ts = message["ts"]
        if any(m.get("thread_ts") == ts != m["ts"] for m in channel.messages.values()):
            stone = {"type": "message", "subtype": "tombstone", "ts": ts, "thread_ts": ts, "hidden": True}
            self.change(channel, message, {**stone, "text": "This message was deleted."})
            return
        del channel.messages[ts]
        gone = {"deleted_ts": ts, "previous_message": pages.bare(message)}
        self._fire_hidden(channel, {"subtype": "message_deleted", **gone})

    def _channel(self, arguments: Mapping[str, Any]) -> Channel:
        channel = self.channels.get(str(arguments.get("channel")))
        if channel is None:
            raise Refused("channel_not_found")
        return channel

    def _joined(self, arguments: Mapping[str, Any]) -> Channel:
        channel = self._channel(arguments)
        if not channel.member:
            raise Refused("not_in_channel")
        return channel

    def _own(self, channel: Channel, arguments: Mapping[str, Any], otherwise: str) -> Message:
        message = channel.messages.get(str(arguments.get("ts")))
        if message is None or message.get("subtype") == "tombstone":
            raise Refused("message_not_found")
        if message.get("bot_id") != BOT:
            raise Refused(otherwise)
        return message

    def edited(self, channel: Channel, user: str) -> Message:
        """Return the note of an edit made now."""
        return {"user": user, "ts": self._next_ts(channel)}

    def _now(self) -> int:
        return (self.clock.now() - _EPOCH) // timedelta(microseconds=1)

    def _next_ts(self, channel: Channel) -> str:
        channel.newest = max(self._now(), channel.newest + 1)
        return f"{channel.newest // _MICROSECONDS}.{channel.newest % _MICROSECONDS:06d}"

    def _fire_hidden(self, channel: Channel, event: Mapping[str, Any]) -> None:
        ts = self._next_ts(channel)
        told = {"type": "message", **event, "hidden": True, "ts": ts, "event_ts": ts}
        self._fire(channel, {**told, "channel_type": "channel"})

    def _fire(self, channel: Channel, event: Mapping[str, Any]) -> None:
        if channel.member:
            self._fired.append({**event, "channel": channel.channel_id})


_BY_BOT = {"user": BOT_USER, "bot_id": BOT, "app_id": APP, "team": TEAM}


def _micros(ts: str) -> int:
    return int(ts.replace(".", ""))
