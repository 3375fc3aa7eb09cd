"""What a vendor brings along to be certified: its system on this machine, and hands to work in it.

Each vendor has a module of its own name in `tests/certification/vendors`, with one entry point:

    @asynccontextmanager
    async def system(folder: Path) -> AsyncIterator[OpenAccount]: ...

It starts whatever is started once (`folder` is for its data), and yields a function that opens a fresh,
empty account: the suite asks for one per test.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
from yarl import URL

from wedsync.clock import SystemClock
from wedsync.model.items import FieldValue, ItemKind
from wedsync.testing.faults import Answer, Asked
from wedsync.testing.oauth2 import CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN

READS = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT"})


class Hands(Protocol):
    """What people do with one kind of record, in the vendor's own system and past our gateway.

    A record is told from others by one TEXT that travels both ways: a title, a memo.
    """

    @property
    def field(self) -> str:
        """Return the item's field that holds the text."""
        ...

    @property
    def cannot(self) -> Mapping[str, str]:
        """Return what people cannot do, and why not.

        `remove`, `let_us_edit` what they made, or `make` a record; then there is one from the start.
        """
        ...

    async def make(self, text: str) -> str:
        """Make a record; return its id."""
        ...

    async def edit(self, record: str, text: str) -> None:
        """Give a record another text."""
        ...

    async def remove(self, record: str) -> None:
        """Delete a record."""
        ...

    async def texts(self) -> Mapping[str, str]:
        """Return the text of each record there is, by its id."""
        ...

    def values(self, text: str) -> Mapping[str, FieldValue]:
        """Return the fields of an item of ours that has the text, as we may create it at this vendor."""
        ...


class Bench(Protocol):
    """One account at a vendor's system that runs on this machine."""

    @property
    def base_url(self) -> str:
        """Return where its API is. The gateway calls it through a proxy."""
        ...

    @property
    def credentials(self) -> Mapping[str, str]:
        """Return what an organization enters to connect."""
        ...

    @property
    def scope(self) -> Mapping[str, str]:
        """Return what is linked. An address in it must be relative to the base, for the proxy's sake."""
        ...

    @property
    def hands(self) -> Mapping[ItemKind, Hands]:
        """Return who works with each kind of the manifest."""
        ...

    @property
    def cannot(self) -> Mapping[str, str]:
        """Return what cannot be done to this system, `forget_cursors` or `set_clock`, and why not."""
        ...

    async def tell(self, address: str) -> None:
        """Enter our webhook address, as people do; nothing where we open push channels."""
        ...

    def forget_cursors(self) -> None:
        """Let every cursor given so far be too old."""
        ...

    def set_clock(self, ahead: timedelta) -> None:
        """Let the vendor's clock be so far ahead."""
        ...

    def is_write(self, asked: Asked) -> bool:
        """Say whether a request is to change a record: what opens push channels is not."""
        ...

    def refusal(self) -> Answer:
        """Return how the vendor refuses credentials that are no longer valid."""
        ...

    def emptied(self, asked: Asked, answer: Answer) -> Answer:
        """Return the answer to a list as if nothing stood in it; any other answer as it is."""
        ...


OpenAccount = Callable[[], AbstractAsyncContextManager[Bench]]
System = Callable[[Path], AbstractAsyncContextManager[OpenAccount]]


class Account:
    """What most benches have in common."""

    cannot: Mapping[str, str] = {}
    not_records: tuple[str, ...] = ()
    """What a path holds that is written to but is no record."""

    async def tell(self, address: str) -> None:
        """Nobody enters an address: we open push channels, or are told nothing."""

    def forget_cursors(self) -> None:
        """See `cannot`."""
        raise NotImplementedError

    def set_clock(self, ahead: timedelta) -> None:
        """See `cannot`."""
        raise NotImplementedError

    def is_write(self, asked: Asked) -> bool:
        """Go by the method."""
        return asked.method not in READS and not any(part in asked.path for part in self.not_records)

    def refusal(self) -> Answer:
        """Answer with status 401."""
        return Answer(status=401, headers={"content-type": "application/json"}, body=b"{}")


class VendorClock(SystemClock):
    """A vendor's clock, which may be wrong."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        """Return the machine's time, and how far this clock is ahead of it."""
        return super().now() + self.ahead


def able(who: Bench | Hands, action: str) -> None:
    """Skip the test, saying why, if somebody cannot do what it is about."""
    if reason := who.cannot.get(action):
        pytest.skip(reason)


def oauth2(base_url: str) -> Mapping[str, str]:
    """Return the credentials of an account whose simulator trades refresh tokens in, too."""
    return {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "refresh_token": REFRESH_TOKEN,
        "token_url": str(URL(base_url).origin() / "token"),
    }


def an_event(text: str) -> Mapping[str, FieldValue]:
    """Return the fields of a timeline event."""
    return {
        "title": text,
        "starts_at": "2027-06-12T15:00:00[America/New_York]",
        "ends_at": "2027-06-12T15:45:00[America/New_York]",
    }


def without(answer: Answer, items: str, **also: Any) -> Answer:
    """Return a JSON answer with its list of that name empty; one that has none as it is."""
    try:
        told = json.loads(answer.body)
    except ValueError:
        return answer
    if answer.status != 200 or not isinstance(told, dict) or not isinstance(told.get(items), list):
        return answer
    return replace(answer, body=json.dumps({**told, items: [], **also}).encode())
