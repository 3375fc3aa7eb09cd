"""When the values of a conflict were set: the wedding's log knows, and is asked only for one conflict."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import structlog

from services.conflicts.conflict import Conflict
from wedsync.client import SyncClient
from wedsync.convert.changes import moment
from wedsync.errors import WedSyncError

_log = structlog.get_logger(__name__)
_CALL_SECONDS = 2.0


class SetTimes:
    """Looks up the moments of a conflict's claims by their places in the log."""

    def __init__(self, sync: SyncClient) -> None:
        self._sync = sync

    async def __call__(self, conflict: Conflict) -> Mapping[int, datetime]:
        """Return the moments that could be found out; a conflict is shown without them as well."""
        sides = (conflict.collision.current, conflict.collision.proposed, conflict.final)
        places = {claim.revision for claim in sides if claim is not None and claim.revision > 0}
        try:
            return {place: await self._moment(conflict.collision.wedding_id, place) for place in places}
        except (WedSyncError, ValueError) as error:
            _log.warning("no times for a conflict", conflict=conflict.conflict_id, error=str(error))
            return {}

    async def _moment(self, wedding_id: str, sequence: int) -> datetime:
        entries = self._sync.list_changes(
            wedding_id, after_sequence=sequence - 1, page_size=1, timeout=_CALL_SECONDS
        )
        async for entry in entries:
            return moment(entry.commit_time)
        raise ValueError(f"the log ends before {sequence}")
