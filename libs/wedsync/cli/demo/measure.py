"""Playing one act against the clock: how long until everybody had it, and where the time went."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from wedsync.api.gateway.v1.delivery_pb2 import Journey
from wedsync.api.sync.v1.change_pb2 import OUTCOME_APPLIED, OUTCOME_MERGED, LoggedChange
from wedsync.cli import logged, waterfall
from wedsync.cli.demo.play import Act
from wedsync.cli.demo.stage import Stage
from wedsync.cli.demo.waiting import eventually
from wedsync.convert.changes import moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """The way of one change: who made it, when WedSync noticed, and its stages since then."""

    change_id: str
    sequence: int
    source: str
    trace_id: str
    detected_ms: float
    """From the edit until WedSync noticed it: for a polled vendor mostly the wait for the next poll."""
    processed_ms: float
    """From there until the last stage ended."""
    stages: Sequence[waterfall.Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One act's times, in milliseconds since the edit was begun."""

    title: str
    end_to_end_ms: float
    logged_ms: float
    arrived_ms: Mapping[str, float]
    journeys: Sequence[Path]

    def as_data(self) -> dict[str, Any]:
        """Return the times as JSON has them."""
        return asdict(self)


async def play(act: Act, stage: Stage) -> Measured:
    """Make the edit and wait until it is everywhere. Raises `DeadlineExceeded` naming what is missing."""
    before, edited_at, stopwatch = stage.log.sequence, stage.clock.now(), _Stopwatch(stage)
    await act.edit()
    (entries, logged_ms), *arrivals = await asyncio.gather(
        stopwatch.time(lambda: _entries(act, stage, before), f"{act.title}: WedSync's log does not show it"),
        *(
            stopwatch.time(_true(check), f"{act.title}: {vendor} does not show it")
            for vendor, check in act.arrived.items()
        ),
    )
    arrived = {vendor: spent for vendor, (_, spent) in zip(act.arrived, arrivals, strict=True)}
    journeys = [await _path(entry, edited_at, stage) for entry in entries]
    return Measured(
        title=act.title,
        end_to_end_ms=max(arrived.values()),
        logged_ms=logged_ms,
        arrived_ms=arrived,
        journeys=journeys,
    )


class _Stopwatch:
    def __init__(self, stage: Stage) -> None:
        self._clock = stage.clock
        self._started = stage.clock.monotonic()

    async def time(self, look: Callable[[], Awaitable[Any]], what: str) -> tuple[Any, float]:
        found = await eventually(look, what, self._clock)
        return found, round((self._clock.monotonic() - self._started) * 1000, 1)


def _true(check: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool | None]]:
    async def look() -> bool | None:
        return await check() or None

    return look


async def _entries(act: Act, stage: Stage, before: int) -> list[LoggedChange] | None:
    """Return the log's entries that together set all the act's fields, None until they do."""
    since = stage.log.after(before, act.kind)
    ours = [entry for entry in since if _set(entry) & act.fields]
    return ours if act.fields <= set().union(*map(_set, ours)) else None


def _set(entry: LoggedChange) -> set[str]:
    return {field.path for field in entry.fields if field.outcome in {OUTCOME_APPLIED, OUTCOME_MERGED}}


async def _path(entry: LoggedChange, edited_at: datetime, stage: Stage) -> Path:
    async def look() -> Journey | None:
        journey = await stage.gateway.get_journey(entry.change_id)
        return journey if journey.complete and journey.stages else None

    what = f"the journey of change {entry.change_id} does not end"
    journey = await eventually(look, what, stage.clock)
    rows = waterfall.rows(journey)
    began = min(moment(step.start_time) for step in journey.stages)
    return Path(
        change_id=entry.change_id,
        sequence=entry.sequence,
        source=logged.who(entry.source),
        trace_id=journey.trace_id,
        # A poll under way sees what comes while it runs, so it may have begun before the edit.
        detected_ms=round(max(0.0, (began - edited_at).total_seconds() * 1000), 1),
        processed_ms=round(max(row.end_ms for row in rows), 1),
        stages=rows,
    )
