"""One load from its first webhook to the proof that nothing was lost or doubled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from wedsync.testing.load import marks
from wedsync.testing.load.figures import Evidence, Outcome, Verdict, judge
from wedsync.testing.load.findings import Inbox, Log, copies
from wedsync.testing.load.plan import Origin, Send
from wedsync.testing.load.processes import System, microseconds_each
from wedsync.testing.load.programs import a_generator
from wedsync.testing.load.stage import Stage, Wedding

STILL_SECONDS, DRAIN_SECONDS = 45.0, 300.0
"""How long nothing may arrive, and how long everything may take, after the last answer."""
_LEAD_SECONDS = 0.5
_PLANNED_PER_SECOND = 20_000
"""How many edits the sink can be told of in a second, with room to spare."""
_LOOK_SECONDS = 0.25
_SHOWN = 5
_TOO_MANY = 429


@dataclass(slots=True, kw_only=True)
class Result:
    """What one load found out."""

    start: float
    planned: int
    rate: float
    seconds: float
    outcomes: Sequence[Outcome]
    verdict: Verdict
    evidence: Evidence
    cpu: Mapping[str, int]
    calls: Mapping[str, int]
    memory: Mapping[str, float]
    problems: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether nothing that was accepted is lost, and nothing was done twice."""
        return not (self.verdict.lost or self.verdict.doubled or self.rejected)

    @property
    def rejected(self) -> int:
        """How many webhooks were refused for good: signed and shaped as they are, none may be."""
        return sum(400 <= outcome.status < 500 and outcome.status != _TOO_MANY for outcome in self.outcomes)

    @property
    def accepted(self) -> int:
        """How many webhooks were answered with 2xx."""
        return sum(outcome.accepted for outcome in self.outcomes)

    def figures(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        return {
            "planned": self.planned,
            "planned_rate": round(self.rate, 1),
            "achieved_rate": round(self.accepted / self.seconds, 1) if self.seconds else 0.0,
            "accepted": self.accepted,
            "not_accepted": self.planned - self.accepted,
            "rejected": self.rejected,
            "told_to_come_back": sum(max(0, outcome.tries - 1) for outcome in self.outcomes),
            "lost": len(self.verdict.lost),
            "doubled": len(self.verdict.doubled),
            "latency_ms": self.verdict.latencies(),
            "cpu_us_per_webhook": dict(self.cpu),
            "cores": round(self.cpu["all"] * self.accepted / max(0.001, self.seconds) / 1e6, 2),
            "vendor_calls_per_webhook": {
                name: round(count / max(1, self.accepted), 2) for name, count in self.calls.items()
            },
            "memory_mb": dict(self.memory),
            "problems": self.problems,
        }


@dataclass(slots=True)
class Trials:
    """Loads on one stage, one after the other."""

    stage: Stage
    system: System
    folder: Path
    run: str
    _log: Log = field(init=False)
    _number: int = 0

    def __post_init__(self) -> None:
        """Remember how far each log was read."""
        self._log = Log(self.stage)

    async def prove(self, origins: Sequence[Origin], sends: Sequence[Send]) -> Result:
        """Send it all, wait until it has arrived, and compare."""
        self._number += 1
        weddings = self._weddings(origins)
        await self._log.pass_over(weddings)
        name = f"{self.run}-{self._number}"
        async with a_generator(
            self.folder, origins, sends, http=self.stage.target.http, run=name
        ) as generator:
            system = System((*self.system.roots, generator.pid))
            start = time.time() + _LEAD_SECONDS + len(sends) / _PLANNED_PER_SECOND
            await self.stage.sink.plan([_edit(origins[s.origin], s, start) for s in sends])
            calls, before = await self.stage.sink.calls(), system.usage()
            outcomes = await generator.go(start)
            await self._arrived(origins, sends, outcomes, start)
            after, called = system.usage(), await self.stage.sink.calls()
            memory = system.memory()
        evidence = await self._evidence(weddings, start)
        verdict = judge(origins, sends, outcomes, evidence, start=start)
        accepted = sum(outcome.accepted for outcome in outcomes)
        return Result(
            start=start,
            planned=len(sends),
            rate=len(sends) / sends[-1].after if sends else 0.0,
            seconds=max(verdict.last - start, sends[-1].after if sends else 0.0),
            outcomes=outcomes,
            verdict=verdict,
            evidence=evidence,
            cpu=microseconds_each(before, after, accepted),
            calls={name: count - calls.get(name, 0) for name, count in called.items()},
            memory=memory,
            problems=[*verdict.lost[:_SHOWN], *verdict.doubled[:_SHOWN], *evidence.unfinished[:_SHOWN]],
        )

    def _weddings(self, origins: Sequence[Origin]) -> list[Wedding]:
        used = {origin.wedding_id for origin in origins}
        return [wedding for wedding in self.stage.weddings if wedding.wedding_id in used]

    async def _arrived(
        self, origins: Sequence[Origin], sends: Sequence[Send], outcomes: Sequence[Outcome], start: float
    ) -> None:
        """Wait until every vendor has the last accepted edit of each record, or for long enough."""
        awaited: dict[tuple[int, str, str], int] = {}
        for send, outcome in zip(sends, outcomes, strict=True):
            if outcome.accepted:
                origin = origins[send.origin]
                awaited.update({(origin.number, *copy): send.edit for copy in origin.copies})
        looked, until = 0, time.monotonic() + DRAIN_SECONDS
        moved = time.monotonic()
        while awaited and time.monotonic() < min(until, moved + STILL_SECONDS):
            arrivals = await self.stage.sink.arrivals()
            for at, account, collection, _, number, edit in arrivals[looked:]:
                place = (number, account, collection)
                if at >= start and edit >= awaited.get(place, edit + 1):
                    del awaited[place]
            if len(arrivals) > looked:
                looked, moved = len(arrivals), time.monotonic()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _evidence(self, weddings: Sequence[Wedding], start: float) -> Evidence:
        evidence = Evidence(log=await self._log.read(weddings), copies=await copies(self.stage, start))
        # The gateway's clock is this machine's; what it accepted earlier is not of this load.
        await Inbox(self.stage).since(datetime.fromtimestamp(start - _LEAD_SECONDS, UTC), evidence)
        return evidence


def _edit(origin: Origin, send: Send, start: float) -> tuple[float, str, str, str, str]:
    title = marks.title(origin.number, send.edit)
    return start + send.after, origin.account, origin.collection, origin.record["id"], title
