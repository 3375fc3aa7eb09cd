"""Rewinds as a whole: read what was and what is, decide, and send the changes on their ordinary way.

A rewind begins at the sequence that was read when it was first asked for. So the same request always means
the same changes, with the same ids: one that broke off half-way goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from services.sync.rewind import (
    Compensations,
    Kept,
    Rewinding,
    Versions,
    compensations,
    fingerprint,
    too_much,
)
from wedsync.model.changes import Change, ChangeResult
from wedsync.model.items import FieldValue

MOST_TOGETHER = 500
"""Changes in one submission."""

_MOST_TOLD = 3 << 20
"""Bytes of the answer, roughly; a message holds 4 MiB."""
_TOLD_ANYHOW = 600  # of a change and its result, without their values


class History(Protocol):
    """What is needed of the past."""

    async def begin_rewind(
        self, wedding_id: str, request_id: str, *, viewer: str | None, then: int, mark: bytes | None
    ) -> int:
        """Return the sequence the rewind begins at, which is kept if there is a mark."""
        ...

    async def versions(self, wedding_id: str, asked: Rewinding, *, viewer: str | None) -> Sequence[Versions]:
        """Return every item that changed since then."""
        ...


Apply = Callable[[Sequence[Change]], Awaitable[Sequence[ChangeResult]]]
"""Sends changes on to the wedding's owner, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewound:
    """What a rewind did, or would do."""

    changes: Sequence[Change]
    results: Sequence[ChangeResult]
    kept: Sequence[Kept]


async def rewind(
    history: History, wedding_id: str, asked: Rewinding, *, viewer: str | None, apply: Apply | None
) -> Rewound:
    """Rewind a wedding, or only say what that means where nothing is to be applied.

    What is asked for need not say yet what is now. Raises what `HistoryStore` and `apply` raise; repeat it
    then with the same request id.
    """
    mark = fingerprint(asked.then, asked.whose) if apply else None
    now = await history.begin_rewind(wedding_id, asked.request_id, viewer=viewer, then=asked.then, mark=mark)
    asked = replace(asked, now=now)
    versions = await history.versions(wedding_id, asked, viewer=viewer)
    planned = compensations(versions, asked)
    _require_to_fit(planned, versions)
    results = await _in_parts(planned.changes, apply) if apply else []
    return Rewound(changes=planned.changes, results=results, kept=planned.kept)


async def _in_parts(changes: Sequence[Change], apply: Apply) -> list[ChangeResult]:
    results: list[ChangeResult] = []
    for start in range(0, len(changes), MOST_TOGETHER):
        results += await apply(changes[start : start + MOST_TOGETHER])
    return results


def _require_to_fit(planned: Compensations, versions: Sequence[Versions]) -> None:
    """Refuse what could be done, but not be told: a value is told when it goes, and twice when it comes."""
    now = {each.now.item_id: each.now for each in versions}
    told = sum(
        2 * _size(value) + _size(now[change.item_id].value(path))
        for change in planned.changes
        for path, value in change.values.items()
    )
    if told + _TOLD_ANYHOW * len(planned.changes) > _MOST_TOLD:
        raise too_much()


def _size(value: FieldValue) -> int:
    return len(str(value).encode())
