"""Push channels, in memory."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from services.gateway.channels import Kept
from services.gateway.records import NOBODY, Busy, Link
from services.gateway.store.channels import ChannelStore, DuePush
from tests.support.gateway_memory import Memory


class MemoryChannels(ChannelStore):
    """Push channels, and what was said of each link's."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.looks: list[dict[str, Any]] = []
        self.ending: list[str] = []

    async def claim(self, vendors: Collection[str], limit: int, busy: Busy = NOBODY) -> list[DuePush]:
        """Return all links of these vendors."""
        links = [link for link in self._memory.links.values() if link.vendor in vendors]
        return [await self.due(link) for link in links][:limit]

    async def due(self, link: Link, failures: int = 0) -> DuePush:
        """Return a link with its channels."""
        at = datetime.fromisoformat("2027-01-01T00:00:00+00:00")
        return DuePush(link=link, kept=await self.of_link(link), failures=failures, due_at=at)

    async def find(self, organization_id: str, integration_id: str, names: Collection[str]) -> list[Kept]:
        """Return an integration's channels of these names."""
        links = {link.link_id: link for link in self._memory.links.values()}
        kept = [each for each in self._memory.channels.values() if each.channel.channel_id in names]
        return [each for each in kept if links[each.link_id].integration_id == integration_id]

    async def keep(self, link: Link, kept: Kept) -> None:
        """Keep a channel."""
        self._memory.channels[kept.id] = kept

    async def end_soon(self, organization_id: str, kept: Kept) -> None:
        """Note which channel ends."""
        self.ending.append(kept.id)

    async def forget(self, link: Link, kept: Kept) -> None:
        """Keep it no longer."""
        self._memory.channels.pop(kept.id, None)

    async def looked(self, due: DuePush, *, seconds: float, failures: int, reason: str) -> None:
        """Note when to look again, and why there is no channel."""
        self.looks.append({"seconds": seconds, "failures": failures, "reason": reason})

    async def of_link(self, link: Link) -> list[Kept]:
        """Return a link's channels."""
        return [each for each in self._memory.channels.values() if each.link_id == link.link_id]
