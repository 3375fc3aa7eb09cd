"""Posts events and clicks to the app, signed: an event is tried four times under one id, a click once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp

from wedsync.clock import Clock
from wedsync.testing.slack.signing import signed

RETRY_SECONDS = (0.0, 0.5, 2.0)
"""How long Slack waits before each further try; shorter here than the vendor's (at once, 1 min, 5 min)."""

# An app that never answers must not pile up tasks; what comes on top is lost, as events may be.
_MAX_UNDER_WAY = 500
_JSON, _FORM = "application/json", "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the app said: the status (0 where there was none), the body, and Slack's word for a failure."""

    status: int
    body: bytes = b""
    failure: str = ""
    final: bool = False
    """The app asked that this be not tried again."""


class Deliveries:
    """Posts to the app in the background, in no order; `aclose` abandons what is under way."""

    def __init__(
        self, clock: Clock, secret: str, *, retry_seconds: Sequence[float], answer_seconds: float
    ) -> None:
        self.url = ""
        self.failed: list[str] = []
        """The ids of the events that were given up."""
        self._clock, self._secret, self._waits = clock, secret, (0.0, *retry_seconds)
        self._timeout = aiohttp.ClientTimeout(total=answer_seconds)
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, envelope: Mapping[str, Any]) -> None:
        """Start telling the app of an event; without an address nobody is told."""
        if self.url and len(self._tasks) < _MAX_UNDER_WAY:
            task = asyncio.create_task(self._insist(self.url, envelope))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def post_json(self, url: str, body: Mapping[str, Any], **headers: str) -> Answer:
        """Post once, as events are."""
        return await self._post(url, json.dumps(body).encode(), {"Content-Type": _JSON, **headers})

    async def post_form(self, url: str, body: Mapping[str, Any]) -> Answer:
        """Post once, as clicks are: a form that holds the JSON in its field `payload`."""
        form = urlencode({"payload": json.dumps(body)}).encode()
        return await self._post(url, form, {"Content-Type": _FORM})

    async def aclose(self) -> None:
        """Abandon what is under way and close the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        session, self._session = self._session, None
        if session:
            await session.close()

    async def _insist(self, url: str, envelope: Mapping[str, Any]) -> None:
        headers: dict[str, str] = {}
        for number, wait in enumerate(self._waits):
            if wait:
                await self._clock.sleep(wait)
            answer = await self.post_json(url, envelope, **headers)
            if not answer.failure:
                return
            if answer.final:
                break
            headers = {"X-Slack-Retry-Num": str(number + 1), "X-Slack-Retry-Reason": answer.failure}
        self.failed.append(str(envelope["event_id"]))

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        proof = signed(self._secret, body, at=int(self._clock.now().timestamp()))
        self._session = self._session or aiohttp.ClientSession()
        try:
            async with self._session.post(
                url, data=body, headers={**headers, **proof}, timeout=self._timeout, allow_redirects=False
            ) as answer:
                failure = "" if answer.status < 300 else "http_error"
                final = bool(failure) and answer.headers.get("X-Slack-No-Retry") == "1"
                content = await answer.read()
                return Answer(status=answer.status, body=content, failure=failure, final=final)
        except TimeoutError:
            return Answer(status=0, failure="http_timeout")
        except (aiohttp.ClientError, ValueError):
            return Answer(status=0, failure="connection_failed")
