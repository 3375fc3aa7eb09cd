"""Vendors' published keys and certificates: fetched through the one door, kept a while, within bounds."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.gateway.vendor_http import VendorHttp
from services.gateway.vendors.port import VendorError
from wedsync.clock import Clock
from wedsync.errors import Unavailable

FRESH, LIFETIME = timedelta(hours=6), timedelta(hours=24)
"""After how long a document is fetched anew, and how long it is believed where that fails."""
RETRY = timedelta(minutes=1)
"""How long one that could not be had anew, or lacks a key, is not asked for again."""
MAX_KEPT, MAX_FETCHES = 32, 30
"""Documents kept, the one unused for longest goes first; and fetches a minute, whoever causes them."""
MAX_BYTES = 256 * 1024
_TIMEOUT_SECONDS = 5.0


@dataclass(slots=True)
class _Kept:
    content: bytes = b""
    had_at: datetime | None = None
    tried_at: datetime | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class KeyDocuments:
    """Documents by address. The caller has checked that the address is the vendor's."""

    def __init__(self, http: VendorHttp, clock: Clock) -> None:
        self._http, self._clock = http, clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._fetches: deque[datetime] = deque(maxlen=MAX_FETCHES)

    async def get(self, address: str, *, max_age: timedelta = FRESH) -> bytes:
        """Return a document, fetched anew if it is older than `max_age` and was not asked for just now.

        Raises `Unavailable`: the vendor shall send its webhook again.
        """
        kept = self._kept.setdefault(address, _Kept())
        async with kept.lock:
            if self._age(kept.had_at) >= max_age and self._age(kept.tried_at) >= RETRY:
                await self._renew(address, kept)
        self._tidy(address, kept)
        if self._age(kept.had_at) >= LIFETIME:
            raise Unavailable("The vendor's keys cannot be had.", retry_after=RETRY.total_seconds())
        return kept.content

    def _age(self, then: datetime | None) -> timedelta:
        return timedelta.max if then is None else self._clock.now() - then

    async def _renew(self, address: str, kept: _Kept) -> None:
        if len(self._fetches) == MAX_FETCHES and self._age(self._fetches[0]) < timedelta(minutes=1):
            return
        kept.tried_at = self._clock.now()
        self._fetches.append(kept.tried_at)
        try:
            answer = await self._http.request("GET", address, timeout=_TIMEOUT_SECONDS)
        except VendorError:
            return
        if answer.status == 200 and len(answer.body) <= MAX_BYTES:
            kept.content, kept.had_at = answer.body, kept.tried_at

    def _tidy(self, address: str, kept: _Kept) -> None:
        """Forget what could not be had, so that asking for much that does not exist drives out nothing."""
        if kept.had_at is None:
            self._kept.pop(address, None)
        elif address in self._kept:
            self._kept.move_to_end(address)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
