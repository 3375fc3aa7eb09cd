"""Channels by which the API tells somebody that a calendar moved: empty posts that may get lost."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import aiohttp

from wedsync.clock import Clock
from wedsync.testing.google_calendar.refusal import Refused, invalid

MAX_SECONDS = 7 * 86_400
"""How long a channel lives at most."""
RETRY_SECONDS = (0.2, 1.0)
"""Waits before each further try of a notification; shorter here than the vendor's."""

_ID = re.compile(r"[A-Za-z0-9\-_+/=]{1,64}")
_MAX_TOKEN = 256
_TRIED_AGAIN = frozenset({500, 502, 503, 504})
_ANSWER_SECONDS = 5.0
# Numbers rise, and leave gaps.
_STEP = 3


@dataclass(slots=True, kw_only=True)
class Watch:
    """One channel."""

    channel_id: str
    address: str
    token: str | None
    resource_id: str
    resource_uri: str
    calendar_id: str
    ends_at: float
    number: int = 1


@dataclass
class Channels:
    """Everything that is watched. Notifications go out in the background; `aclose` abandons them."""

    clock: Clock
    retry_seconds: Sequence[float] = RETRY_SECONDS
    max_seconds: float = MAX_SECONDS
    allow_http: bool = True
    watches: dict[str, Watch] = field(default_factory=dict)
    answers: list[tuple[str, str, int]] = field(default_factory=list)
    """What each post was answered: channel, state and status, 0 where there was no answer."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _session: aiohttp.ClientSession | None = None

    def watch(self, calendar_id: str, uri: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Open a channel and greet its address. Raises `Refused`."""
        channel_id, address = body.get("id"), body.get("address")
        if not isinstance(channel_id, str) or not _ID.fullmatch(channel_id):
            raise invalid("Invalid value for id.")
        if channel_id in self.watches:
            raise Refused(400, "channelIdNotUnique", f"Channel id {channel_id} not unique")
        if body.get("type") not in {"web_hook", "webhook"}:
            raise invalid("Unknown channel type.")
        self._check_address(address)
        made = Watch(
            channel_id=channel_id,
            address=str(address),
            token=_token(body.get("token")),
            resource_id=hashlib.sha256(calendar_id.encode()).hexdigest()[:27],
            resource_uri=uri,
            calendar_id=calendar_id,
            ends_at=self._ends_at(body.get("expiration")),
        )
        self.watches[channel_id] = made
        self._tell(made, "sync")
        return {
            "kind": "api#channel",
            "id": channel_id,
            "resourceId": made.resource_id,
            "resourceUri": uri,
            **({"token": made.token} if made.token else {}),
            "expiration": str(int(made.ends_at * 1000)),
        }

    def stop(self, body: Mapping[str, Any]) -> None:
        """End a channel. Raises `Refused` if there is none of that id for that resource."""
        watch = self.watches.get(str(body.get("id")))
        if watch is None or watch.resource_id != body.get("resourceId"):
            raise Refused(404, "notFound", f"Channel '{body.get('id')}' not found for project")
        del self.watches[watch.channel_id]

    def changed(self, calendar_id: str) -> None:
        """Tell everybody who watches the calendar, as long as their channels live."""
        now = self.clock.now().timestamp()
        self.watches = {name: watch for name, watch in self.watches.items() if watch.ends_at > now}
        for watch in self.watches.values():
            if watch.calendar_id == calendar_id:
                watch.number += _STEP
                self._tell(watch, "exists")

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def aclose(self) -> None:
        """Abandon what is under way and close the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        session, self._session = self._session, None
        if session:
            await session.close()

    def _check_address(self, address: Any) -> None:
        schemes = ("https://", "http://") if self.allow_http else ("https://",)
        if not isinstance(address, str) or not address.startswith(schemes):
            raise Refused(400, "push.webhookUrlNotHttps", f"WebHook callback must be HTTPS: {address}")

    def _ends_at(self, asked: Any) -> float:
        now = self.clock.now().timestamp()
        latest = now + self.max_seconds
        if asked is None:
            return latest
        if not str(asked).isdecimal() or int(asked) / 1000 <= now:
            raise invalid("Invalid value for expiration.")
        return min(latest, int(asked) / 1000)

    def _tell(self, watch: Watch, state: str) -> None:
        headers = {
            "X-Goog-Channel-ID": watch.channel_id,
            "X-Goog-Message-Number": str(watch.number),
            "X-Goog-Resource-ID": watch.resource_id,
            "X-Goog-Resource-State": state,
            "X-Goog-Resource-URI": watch.resource_uri,
            "X-Goog-Channel-Expiration": format_datetime(datetime.fromtimestamp(watch.ends_at, UTC), True),
            **({"X-Goog-Channel-Token": watch.token} if watch.token else {}),
        }
        task = asyncio.create_task(self._insist(watch, state, headers))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _insist(self, watch: Watch, state: str, headers: Mapping[str, str]) -> None:
        for wait in (0.0, *self.retry_seconds):
            if wait:
                await self.clock.sleep(wait)
            status = await self._post(watch.address, headers)
            self.answers.append((watch.channel_id, state, status))
            if status and status not in _TRIED_AGAIN:
                return

    async def _post(self, address: str, headers: Mapping[str, str]) -> int:
        self._session = self._session or aiohttp.ClientSession()
        limit = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        try:
            async with self._session.post(
                address, headers=headers, timeout=limit, allow_redirects=False
            ) as answer:
                return answer.status
        except (TimeoutError, aiohttp.ClientError, ValueError):
            return 0


def _token(given: Any) -> str | None:
    if given is not None and (not isinstance(given, str) or len(given) > _MAX_TOKEN):
        raise invalid("Invalid value for token.")
    return given or None
