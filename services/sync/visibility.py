"""Who was found to see which wedding just now, so that a stream of edits does not ask for each."""

from __future__ import annotations

from typing import Protocol

from wedsync.clock import Clock

TRUSTED_SECONDS = 5.0
"""How long a membership that ended may still be used to edit."""

_MOST = 20_000  # about 4 MB; beyond it everything is asked again


class Members(Protocol):
    """Whoever knows."""

    async def require_visible(self, wedding_id: str, *, viewer: str | None) -> None:
        """Return if the viewer may see the wedding. Raises `UnknownWedding`."""
        ...


class Visibility:
    """Remembers what was allowed, never what was refused."""

    def __init__(self, members: Members, clock: Clock) -> None:
        self._members, self._clock = members, clock
        self._until: dict[tuple[str, str | None], float] = {}

    async def require(self, wedding_id: str, *, viewer: str | None) -> None:
        """Return if the viewer may see the wedding. Raises `UnknownWedding`."""
        key, now = (wedding_id, viewer), self._clock.monotonic()
        if self._until.get(key, now) > now:
            return
        await self._members.require_visible(wedding_id, viewer=viewer)
        if len(self._until) >= _MOST:
            self._until.clear()
        self._until[key] = now + TRUSTED_SECONDS
