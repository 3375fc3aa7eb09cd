"""The way of webhooks from vendors to the gateway, where everything goes wrong with them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from random import Random

from stripe import WebhookSignature

from tests.faults.relay import Relay
from wedsync.testing.faults import Asked, Fault
from wedsync.testing.localstripe.account import WEBHOOK_SECRET

_ALWAYS = 1_000_000
_LOST, _LATE = 0.1, 0.1
COPIES = 5
_ROUND_SECONDS = 0.5
_SIGNATURE = "Stripe-Signature"


class Post:
    """Loses some webhooks, keeps some for days, and brings each other one five times, in no order."""

    def __init__(self, relay: Relay, seed: int = 5) -> None:
        self._relay, self._random = relay, Random(seed)  # noqa: S311  # nothing is secret here
        self.lost, self.brought = 0, 0
        self.late: list[Asked] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take every webhook from now on; at the end bring what is left."""
        self._relay.script.add(Fault(on=_is_webhook, kept_back=True, times=_ALWAYS))
        carrying = asyncio.create_task(self._carry())
        try:
            yield
        finally:
            carrying.cancel()
            await asyncio.gather(carrying, return_exceptions=True)
            self._relay.script.faults.clear()
        await self._round()

    async def bring_late(self, hours: int) -> Sequence[tuple[str, int]]:
        """Bring what was kept, so many hours late; return each one's path and the gateway's answer."""
        aged = [_aged(asked, hours) for asked in self.late]
        answers = await self._relay.release(aged)
        return [(asked.path, answer) for asked, answer in zip(aged, answers, strict=True)]

    async def _carry(self) -> None:
        while True:
            await asyncio.sleep(_ROUND_SECONDS)
            await self._round()

    async def _round(self) -> None:
        bag: list[Asked] = []
        for asked in self._relay.kept_back:
            dice = self._random.random()
            self.lost += dice < _LOST
            if dice >= _LOST + _LATE:
                bag += [asked] * COPIES
            elif dice >= _LOST:
                self.late.append(asked)
        self._random.shuffle(bag)
        self.brought += len(bag)
        self._relay.kept_back = []
        if bag:
            await self._relay.release(bag)


def _is_webhook(asked: Asked) -> bool:
    """Say whether it tells of something: an address that is tried out has to answer at once."""
    return "validationToken" not in asked.path and _header(asked, "X-Goog-Resource-State") != "sync"


def _aged(asked: Asked, hours: int) -> Asked:
    """Return the webhook as it would have been sent so long ago, where it says when that was."""
    if not _header(asked, _SIGNATURE):
        return replace(asked)
    proof = WebhookSignature.generate_signature_header(
        asked.body.decode(), WEBHOOK_SECRET, timestamp=int(time.time()) - hours * 3600
    )
    others = {name: value for name, value in asked.headers.items() if name.lower() != _SIGNATURE.lower()}
    return replace(asked, headers={**others, _SIGNATURE: proof})


def _header(asked: Asked, name: str) -> str:
    return {known.lower(): value for known, value in asked.headers.items()}.get(name.lower(), "")
