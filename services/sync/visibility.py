"""Who was found to see which wedding just now, so that a stream of edits does not ask for each."""

from __future__ import annotations

from typing import Protocol

from services.sync.lanes import Calendar
from wedsync.clock import Clock

TRUSTED_SECONDS = 5.0
"""How long a membership that ended may still be used to edit."""

_MOST = 20_000  # about 5 MB; beyond it everything is asked again


class Members(Protocol):
    """Whoever knows."""

    async def calendar(self, wedding_id: str, *, viewer: str | None) -> Calendar:
        """Return when a wedding takes place that the viewer may see. Raises `UnknownWedding`."""
        ...


class Visibility:
    """Remembers what was allowed, never what was refused."""

    def __init__(self, members: Members, clock: Clock) -> None:
        self._members, self._clock = members, clock
        self._known: dict[tuple[str, str | None], tuple[float, Calendar]] = {}

    async def require(self, wedding_id: str, *, viewer: str | None) -> Calendar:
        """Return when the wedding takes place, if the viewer may see it. Raises `UnknownWedding`."""
        key, now = (wedding_id, viewer), self._clock.monotonic()
        if key in self._known and self._known[key][0] > now:
            return self._known[key][1]
        calendar = await self._members.calendar(wedding_id, viewer=viewer)
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = (now + TRUSTED_SECONDS, calendar)
        return calendar
