"""What people, and other apps, do in the workspace: nobody asks the API for it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wedsync.testing.slack import markup
from wedsync.testing.slack.refusal import Refused
from wedsync.testing.slack.shape import Message, buttons
from wedsync.testing.slack.workspace import APP, CHANNEL, TEAM, Channel, Workspace

PERSON = "U0ANA"
"""The person who acts where nobody is named."""


class People:
    """The hands that type and click."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def say(
        self, text: str, user: str = PERSON, *, channel: str = CHANNEL, thread: str = "", **further: Any
    ) -> str:
        """Type a message, into a thread if one is named, and return its ts."""
        reply = {"thread_ts": thread} if thread else {}
        told = {"user": user, "text": markup.typed(text), "team": TEAM, **reply, **further}
        return str(self._workspace.keep(self._channel(channel), told)["ts"])

    def edit(self, ts: str, text: str, user: str = PERSON, *, channel: str = CHANNEL) -> None:
        """Change a message."""
        place, before = self._found(ts, channel)
        edited = self._workspace.edited(place, user)
        self._workspace.change(place, before, {**before, "text": markup.typed(text), "edited": edited})

    def remove(self, ts: str, *, channel: str = CHANNEL) -> None:
        """Delete a message, anybody's: a workspace's owners may."""
        self._workspace.remove(*self._found(ts, channel))

    def join(self, user: str = PERSON, *, channel: str = CHANNEL) -> str:
        """Come into a channel, which Slack says as a message of its own."""
        text = f"<@{user}> has joined the channel"
        told = {"subtype": "channel_join", "user": user, "text": text}
        return str(self._workspace.keep(self._channel(channel), told)["ts"])

    def integrate(self, text: str, *, name: str = "Florist", channel: str = CHANNEL, **further: Any) -> str:
        """Let another app post."""
        by = {"subtype": "bot_message", "bot_id": "B0OTHER", "app_id": "A0OTHER", "username": name}
        return str(self._workspace.keep(self._channel(channel), {**by, "text": text, **further})["ts"])

    def press(self, value: str, choice: str, user: str = PERSON) -> Message:
        """Click the button that carries the value and whose action ends with the choice.

        Returns what Slack posts to the app. Raises `Refused` where no message shows such a button.
        """
        for channel in self._workspace.channels.values():
            for message in reversed(channel.messages.values()):
                for button in buttons(message):
                    if button["value"] == value and str(button["action_id"]).endswith(choice):
                        return self._click(channel, message, button, user)
        raise Refused("no_such_button")

    def _click(self, channel: Channel, message: Message, button: Mapping[str, Any], user: str) -> Message:
        at = self._workspace.edited(channel, user)["ts"]
        action = {name: button[name] for name in ("action_id", "block_id", "type", "value", "text")}
        return {
            "type": "block_actions",
            "user": {"id": user, "username": user.lower(), "name": user.lower(), "team_id": TEAM},
            "api_app_id": APP,
            "token": "deprecated",
            "container": {"type": "message", "message_ts": message["ts"], "channel_id": channel.channel_id},
            "trigger_id": f"{at}.{message['ts']}",
            "team": {"id": TEAM, "domain": TEAM.lower()},
            "channel": {"id": channel.channel_id, "name": channel.name},
            "message": {name: value for name, value in message.items() if name != "metadata"},
            "state": {"values": {}},
            "actions": [{**action, "action_ts": at}],
        }

    def _channel(self, channel_id: str) -> Channel:
        channel = self._workspace.channels.get(channel_id)
        if channel is None:
            raise Refused("channel_not_found")
        return channel

    def _found(self, ts: str, channel_id: str) -> tuple[Channel, Message]:
        channel = self._channel(channel_id)
        if ts not in channel.messages:
            raise Refused("message_not_found")
        return channel, channel.messages[ts]
