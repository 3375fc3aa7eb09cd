"""What a history is made of: calls, the entries of a log, and what readers saw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wedsync.model.changes import Change, ChangeResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of ApplyChanges: what was sent, and what came back.

    Times are of one clock that all callers share; only their order means anything. A call that brought
    neither results nor a refusal may have happened, at any time since.
    """

    client: str
    wedding_id: str
    changes: Sequence[Change]
    invoked: float
    returned: float = math.inf
    results: Sequence[ChangeResult] | None = None
    refused: bool = False
    """The caller was told that nothing happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a wedding's log.

    What the author had seen is taken from the calls, because a log read over the wire does not say it:
    `wedsync.convert.logged_change_from_message` gives change and result.
    """

    change: Change
    result: ChangeResult
    epoch: int | None = None
    """Under which epoch it was committed, where that is known."""
    owner: str | None = None
    """By which owner, where that is known."""

    @property
    def sequence(self) -> int:
        """The entry's place in the wedding's order."""
        return self.result.sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """What one reader of a log saw in which order, over all of its connections."""

    name: str
    wedding_id: str
    after: int
    seen: Sequence[tuple[int, str]]
    """Sequence and change id."""
