"""Where a page of conflicts starts: newest first, the id deciding between those of one moment. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.conflicts.conflict import Conflict
from wedsync.model.ids import is_id

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOKEN = re.compile(r"([0-9]{1,17})\.(.{36})")


@dataclass(frozen=True, slots=True)
class Place:
    """The last conflict of the page before."""

    committed_at: datetime
    conflict_id: str


def token_after(conflict: Conflict) -> str:
    """Return the token of the page that follows this conflict."""
    # As whole microseconds, which is what the database keeps: a float would lose some.
    microseconds = (conflict.collision.committed_at - _EPOCH) // timedelta(microseconds=1)
    return f"{microseconds}.{conflict.conflict_id}"


def place_of(token: str) -> Place:
    """Return the place a token stands for. Raises ValueError if it is none of ours."""
    match = _TOKEN.fullmatch(token)
    if match is None or not is_id(match[2]):
        raise ValueError(token)
    return Place(_EPOCH + timedelta(microseconds=int(match[1])), match[2])
