"""Was the promise kept? One checker for what clients, logs and readers saw, however it was brought about.

A history is recorded from outside, under any faults, and judged when all is quiet again. Nothing here
knows how a wedding's owner works: the rules are the promises themselves, in words of their own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from wedsync.model.changes import Change, ChangeResult, ItemState
from wedsync.testing.history_answers import wrong_answers
from wedsync.testing.history_log import wrong_log, wrong_order, wrong_state
from wedsync.testing.history_records import Call, Entry, Reader
from wedsync.testing.history_timeline import Timeline

__all__ = ["Call", "Entry", "History", "Reader", "Recorder", "violations"]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Everything that happened to some weddings."""

    calls: Sequence[Call]
    logs: Mapping[str, Sequence[Entry]]
    """By wedding, in the order in which the log was read."""
    items: Mapping[str, Mapping[str, ItemState]] = field(default_factory=dict)
    """By wedding and item id: the final state. A wedding that is missing here is not compared."""
    readers: Sequence[Reader] = ()


class Recorder:
    """Writes down what clients ask and are told."""

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self.calls: list[Call] = []

    async def call(
        self,
        apply: Callable[[], Awaitable[Sequence[ChangeResult]]],
        *,
        client: str,
        wedding_id: str,
        changes: Sequence[Change],
        refusals: tuple[type[Exception], ...] = (),
    ) -> Sequence[ChangeResult]:
        """Have changes applied and write down how that went.

        `refusals` are errors that mean that nothing happened; after any other the outcome is unknown.
        """
        invoked, results, refused = self._seconds(), None, False
        try:
            results = await apply()
        except refusals:
            refused = True
            raise
        finally:
            known = refused or results is not None
            self.calls.append(
                Call(
                    client=client,
                    wedding_id=wedding_id,
                    changes=tuple(changes),
                    invoked=invoked,
                    returned=self._seconds() if known else math.inf,
                    results=results,
                    refused=refused,
                )
            )
        return results


def violations(history: History) -> list[str]:
    """Return every broken promise in plain words; an empty list is what one hopes for."""
    weddings = dict.fromkeys([*history.logs, *(call.wedding_id for call in history.calls)])
    found = (f"wedding {wedding}: {words}" for wedding in weddings for words in _broken(history, wedding))
    return list(dict.fromkeys(found))


def _broken(history: History, wedding_id: str) -> Iterator[str]:
    calls = [call for call in history.calls if call.wedding_id == wedding_id]
    log = history.logs.get(wedding_id, ())
    timeline = Timeline(wedding_id, log, calls)
    yield from wrong_log(timeline)
    yield from wrong_order(timeline)
    if wedding_id in history.items:
        yield from wrong_state(timeline, history.items[wedding_id])
    yield from wrong_answers(timeline)
    for reader in history.readers:
        if reader.wedding_id == wedding_id:
            yield from _misread(reader, log)


def _misread(reader: Reader, log: Sequence[Entry]) -> Iterator[str]:
    ids = {entry.sequence: entry.change.change_id for entry in log}
    last = reader.after
    for sequence, change_id in reader.seen:
        if sequence != last + 1:
            how = "went back or repeated itself" if sequence <= last else "has a gap"
            yield f"reader {reader.name} {how}: {sequence} after {last}"
        if ids.get(sequence) != change_id:
            yield f"reader {reader.name} saw {change_id} at {sequence}, where the log has {ids.get(sequence)}"
        last = sequence
