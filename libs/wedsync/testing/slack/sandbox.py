"""A workspace and everything round it: who may call, who is told, and the hands of its people."""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wedsync.testing.slack import storage
from wedsync.testing.slack.deliveries import RETRY_SECONDS, Deliveries
from wedsync.testing.slack.people import PERSON, People
from wedsync.testing.slack.refusal import Refused
from wedsync.testing.slack.shape import Message
from wedsync.testing.slack.traffic import Traffic
from wedsync.testing.slack.workspace import APP, BOT_USER, CHANNEL, TEAM, Workspace

BASE = "/api"
TOKEN = "xoxb-sandbox-token"  # noqa: S105 - it opens nothing but the sandbox
SIGNING_SECRET = "sandbox-signing-secret"  # noqa: S105 - as above

_ids = itertools.count(1)


@dataclass(slots=True, kw_only=True)
class Sandbox:
    """One workspace with one app. What people do here is told to the app at once."""

    workspace: Workspace
    data: Path | None = None
    """The JSON file in which it is kept across restarts."""
    tokens: Mapping[str, str] = field(default_factory=lambda: {TOKEN: ""}, repr=False)
    """Bot tokens, and the error that answers calls with one; empty for a token that is good."""
    signing_secret: str = field(default=SIGNING_SECRET, repr=False)
    retry_seconds: Sequence[float] = RETRY_SECONDS
    answer_seconds: float = 3.0
    traffic: Traffic = field(default_factory=Traffic)
    people: People = field(init=False)
    deliveries: Deliveries = field(init=False)

    def __post_init__(self) -> None:
        """Build what follows from the rest."""
        self.people = People(self.workspace)
        self.deliveries = Deliveries(
            self.workspace.clock,
            self.signing_secret,
            retry_seconds=self.retry_seconds,
            answer_seconds=self.answer_seconds,
        )
        self.deliveries.url = storage.restore(self.data, self.workspace)

    async def subscribe(self, url: str) -> None:
        """Enter the app's request URL; Slack wants to see its challenge back.

        Raises `Refused` if the app does not answer it. An empty address ends the subscription.
        """
        if url:
            challenge = secrets.token_urlsafe(24)
            asked = {"token": "deprecated", "challenge": challenge, "type": "url_verification"}
            answer = await self.deliveries.post_json(url, asked)
            if answer.failure or challenge not in said(answer.body):
                raise Refused("url_not_verified", status=answer.status, failure=answer.failure)
        self.deliveries.url = url
        self.changed()

    def say(self, text: str, user: str = PERSON, **where: Any) -> str:
        """Let a person post, and return the message's ts."""
        ts = self.people.say(text, user, **where)
        self.changed()
        return ts

    def edit(self, ts: str, text: str, **where: Any) -> None:
        """Let a person change a message."""
        self.people.edit(ts, text, **where)
        self.changed()

    def remove(self, ts: str, **where: Any) -> None:
        """Let a person delete a message."""
        self.people.remove(ts, **where)
        self.changed()

    async def click(self, value: str, choice: str, user: str = PERSON) -> int:
        """Let a person press a button, and return the status of the app's answer (0 for none).

        `value` is what the button carries, a conflict's id; `choice` is `current` or `proposed`.
        Raises `Refused` where no message shows such a button.
        """
        click = self.people.press(value, choice, user)
        self.changed()
        return (await self.deliveries.post_form(self.deliveries.url, click)).status

    def messages(self, channel: str = CHANNEL) -> list[Message]:
        """Return what stands in a channel, oldest first, with its metadata."""
        return [dict(message) for message in self.workspace.channels[channel].messages.values()]

    def changed(self) -> None:
        """Keep what changed and tell the app."""
        for event in self.workspace.take_fired():
            self.deliveries.send(self._envelope(event))
        storage.save(self.data, self.workspace, self.deliveries.url)

    def _envelope(self, event: Message) -> Message:
        now = int(self.workspace.clock.now().timestamp())
        bot = {"enterprise_id": None, "team_id": TEAM, "user_id": BOT_USER, "is_bot": True}
        return {
            "token": "deprecated",
            "team_id": TEAM,
            "api_app_id": APP,
            "event": event,
            "type": "event_callback",
            "event_id": f"Ev{now:X}{next(_ids):06X}{secrets.token_hex(2).upper()}",
            "event_time": now,
            "authorizations": [bot],
            "is_ext_shared_channel": False,
        }


def said(body: bytes) -> set[str]:
    """Return what the app may have meant as the challenge: the whole text, or a field of JSON."""
    text = body.decode("utf-8", "replace").strip()
    try:
        answer = json.loads(text)
    except ValueError:
        return {text}
    return {text, str(answer.get("challenge"))} if isinstance(answer, dict) else {text}
