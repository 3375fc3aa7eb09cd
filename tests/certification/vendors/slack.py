"""Slack: the simulator, and a person who talks in one channel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from tests.certification.bench import Account, OpenAccount, VendorClock, without
from wedsync.model.items import FieldValue, ItemKind
from wedsync.testing.faults import Answer, Asked
from wedsync.testing.slack import CHANNEL, SIGNING_SECRET, TOKEN, Sandbox, Workspace, running


@asynccontextmanager
async def system(_: Path) -> AsyncIterator[OpenAccount]:
    """Nothing is started once: an account is a simulator of its own."""
    yield _account


@asynccontextmanager
async def _account() -> AsyncIterator[SlackAccount]:
    clock = VendorClock()
    sandbox = Sandbox(workspace=Workspace(clock))
    async with running(sandbox) as url:
        yield SlackAccount(url, sandbox, clock)


class SlackAccount(Account):
    """A workspace whose channel nobody has said anything in."""

    cannot: Mapping[str, str] = {
        "forget_cursors": "Slack keeps no cursor: a poll asks for what is newer than what was seen"
    }

    def __init__(self, url: str, sandbox: Sandbox, clock: VendorClock) -> None:
        self.base_url, self._sandbox, self._clock = url, sandbox, clock
        self.credentials = {"bot_token": TOKEN, "webhook_secret": SIGNING_SECRET}
        self.scope = {"channel_id": CHANNEL}
        self.hands = {ItemKind.MESSAGE: Messages(sandbox)}

    async def tell(self, address: str) -> None:
        """Enter the app's request URL."""
        await self._sandbox.subscribe(address)

    def set_clock(self, ahead: timedelta) -> None:
        """Set the simulator's clock."""
        self._clock.ahead = ahead

    def refusal(self) -> Answer:
        """A refusal comes with status 200."""
        body = b'{"ok": false, "error": "invalid_auth"}'
        return Answer(status=200, headers={"content-type": "application/json"}, body=body)

    def emptied(self, asked: Asked, answer: Answer) -> Answer:
        """A channel's history has `messages`."""
        return without(answer, "messages", has_more=False, response_metadata={})


class Messages:
    """Talks in the channel."""

    field = "text"
    cannot: Mapping[str, str] = {"let_us_edit": "Slack lets nobody but its author change a message"}

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def make(self, text: str) -> str:
        """Say something."""
        return self._sandbox.say(text)

    async def edit(self, record: str, text: str) -> None:
        """Change what was said."""
        self._sandbox.edit(record, text)

    async def remove(self, record: str) -> None:
        """Delete what was said."""
        self._sandbox.remove(record)

    async def texts(self) -> Mapping[str, str]:
        """Return what stands in the channel."""
        return {message["ts"]: message["text"] for message in self._sandbox.messages()}

    def values(self, text: str) -> Mapping[str, FieldValue]:
        """Return a message."""
        return {"text": text}
