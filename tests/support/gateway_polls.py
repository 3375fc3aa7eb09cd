"""When links are looked at, in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from services.gateway.records import NOBODY, Backfill, Busy, Link
from services.gateway.store.polls import DueLink, LinkTaken, PollStore, Progress
from tests.support.gateway_memory import Memory


class MemoryPolls(PollStore):
    """When links are looked at."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.taken: set[str] = set()
        """Links that somebody else looks at meanwhile."""
        self.kept: list[Progress] = []

    async def claim(self, limit: int, busy: Busy = NOBODY) -> list[DueLink]:
        """Return links to look at."""
        return [self.due(link) for link in self._memory.links.values() if link.active][:limit]

    def due(self, link: Link) -> DueLink:
        """Return a link as it is claimed."""
        memory, link = self._memory, self._memory.links[link.link_id]
        return DueLink(
            link=link,
            cursor=memory.cursors.get(link.link_id),
            failures=memory.failures.get(link.link_id, 0),
            midway=memory.midway.get(link.link_id, False),
        )

    async def extend(self, due: DueLink) -> None:
        """Go on."""
        if due.link.link_id in self.taken:
            raise LinkTaken

    async def keep(self, due: DueLink, progress: Progress, *, rest: bool = False) -> None:
        """Keep where the next page begins."""
        await self._progress(due, progress, midway=True)
        self._memory.polls.append({"kept": dict(progress.cursor), "rest": rest})

    async def finish(self, due: DueLink, progress: Progress, *, pause: float, seconds: float) -> None:
        """Keep where the look ended."""
        await self._progress(due, progress, midway=False)
        link = self._memory.links[due.link.link_id]
        backfill = replace(link.backfill, ended_at=link.backfill.ended_at or progress.started_at)
        self._memory.links[link.link_id] = replace(link, backfill=backfill, poll_seconds=pause)
        self._memory.polls.append({"seconds": seconds})

    async def later(self, due: DueLink, *, seconds: float) -> None:
        """Look again later, although nothing was wrong."""
        self._memory.polls.append({"later": seconds})

    async def fail(self, due: DueLink, *, seconds: float, lost: bool) -> None:
        """Look again later."""
        name = due.link.link_id
        self._memory.failures[name] = self._memory.failures.get(name, 0) + 1
        if lost:
            self._memory.cursors[name], self._memory.midway[name] = None, False
            known = sum(1 for (owner, _), s in self._memory.shadows.items() if owner == name and s.present)
            fresh = Backfill(expected=known)
            self._memory.links[name] = replace(self._memory.links[name], backfill=fresh)
        self._memory.polls.append({"failed": seconds})

    async def log(
        self, link: Link, *, started_at: datetime, records: int, looked_at: int, error: str = ""
    ) -> None:
        """Note a look."""
        self._memory.polls.append({"records": records, "looked_at": looked_at, "error": error})

    async def _progress(self, due: DueLink, progress: Progress, *, midway: bool) -> None:
        await self.extend(due)
        self.kept.append(progress)
        name, before = due.link.link_id, self._memory.links[due.link.link_id].backfill
        self._memory.cursors[name], self._memory.midway[name] = progress.cursor, midway
        self._memory.failures[name] = 0
        if before.ended_at is None:
            after = replace(
                before,
                started_at=before.started_at or progress.started_at,
                records=before.records + progress.records,
                pages=before.pages + progress.pages,
                expected=before.expected if progress.total is None else progress.total,
            )
            self._memory.links[name] = replace(self._memory.links[name], backfill=after)
