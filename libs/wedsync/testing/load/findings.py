"""What became of the edits, asked of the system as its customers may, and of the vendors."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from wedsync.testing.load import marks
from wedsync.testing.load.figures import Evidence, Seen
from wedsync.testing.load.stage import Stage, Wedding

_AT_ONCE = 8
_PAGE = 200
_FINE = frozenset({"processed", "received"})


@dataclass(slots=True)
class Log:
    """The weddings' logs, read on where the last reading ended."""

    stage: Stage
    _reached: dict[str, int] = field(default_factory=dict)

    async def read(self, weddings: Sequence[Wedding]) -> dict[int, list[Seen]]:
        """Return which edits were committed since, by record."""
        found: dict[int, list[Seen]] = defaultdict(list)
        free = asyncio.Semaphore(_AT_ONCE)

        async def one(wedding: Wedding) -> None:
            async with free:
                await self._read_on(wedding, found)

        await asyncio.gather(*map(one, weddings))
        return found

    async def pass_over(self, weddings: Sequence[Wedding]) -> None:
        """Begin after what stands in logs that were never read."""
        await self.read([wedding for wedding in weddings if wedding.wedding_id not in self._reached])

    async def _read_on(self, wedding: Wedding, found: dict[int, list[Seen]]) -> None:
        after = self._reached.get(wedding.wedding_id, 0)
        log = self.stage.target.sync.list_changes(
            wedding.wedding_id, after_sequence=after, page_size=_PAGE, api_key=wedding.key
        )
        async for entry in log:
            self._reached[wedding.wedding_id] = entry.sequence
            for changed in entry.fields:
                mark = marks.read(changed.proposed.text) if changed.path == "title" else None
                if mark:
                    found[mark[0]].append((entry.commit_time.ToNanoseconds() / 1e9, mark[1]))


@dataclass(slots=True)
class Inbox:
    """The inboxes of all studios."""

    stage: Stage

    async def since(self, moment: datetime, evidence: Evidence) -> None:
        """Note every webhook that was accepted since then."""
        ours = {account.integration_id for account in self.stage.accounts}
        unfinished: list[str] = []
        for key in dict.fromkeys(account.key for account in self.stage.accounts):
            webhooks = self.stage.target.gateway.list_webhooks(since=moment, page_size=_PAGE, api_key=key)
            async for webhook in webhooks:
                if webhook.integration_id not in ours:
                    continue
                evidence.inbox[webhook.webhook_id] += 1
                if webhook.state not in _FINE:
                    unfinished.append(f"{webhook.webhook_id} is {webhook.state}: {webhook.reason}")
        evidence.unfinished = unfinished


async def copies(stage: Stage, since: float) -> Mapping[tuple[int, str, str], Sequence[Seen]]:
    """Return which edits were written at which vendors since then."""
    found: dict[tuple[int, str, str], list[Seen]] = defaultdict(list)
    for at, account, collection, _, number, edit in await stage.sink.arrivals():
        if at >= since and number >= 0:  # what bears no mark is no edit of ours
            found[number, account, collection].append((at, edit))
    return found
