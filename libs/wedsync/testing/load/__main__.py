"""`python -m wedsync.testing.load SCENARIO --home DIR`: a load on the system that runs there.

What it made is unlinked and disconnected at the end. Progress goes to stderr, the findings as one JSON object
to stdout; the exit status is 1 where something was lost or doubled.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from wedsync.errors import WedSyncError
from wedsync.model.ids import new_id
from wedsync.testing.load.ceilings import alone
from wedsync.testing.load.processes import System
from wedsync.testing.load.programs import a_sink
from wedsync.testing.load.scenarios import burst, knee, steady
from wedsync.testing.load.stage import STUDIO_WEDDINGS, Shape, a_stage
from wedsync.testing.load.target import a_target
from wedsync.testing.load.trial import Trials

_DELAY_MS = 20.0
_INTERRUPTED = 130
_BURST_SECONDS, _BURST_RATE = 5.0, 4000.0

Findings = dict[str, Any]


async def _steady(trials: Trials, asked: argparse.Namespace) -> Findings:
    return (await steady(trials, rate=asked.rate, seconds=asked.duration)).figures()


async def _accept(trials: Trials, asked: argparse.Namespace) -> Findings:
    return (await steady(trials, rate=asked.rate, seconds=asked.duration)).figures()


async def _knee(trials: Trials, asked: argparse.Namespace) -> Findings:
    found: Findings = {}
    steps: list[Findings] = []
    async for step in knee(trials, first=asked.rate, seconds=asked.duration):
        figures = step.result.figures()
        steps.append({"rate": round(step.rate, 1), "good": step.good, **figures["latency_ms"]})
        sums = {name: figures[name] + found.get(name, 0) for name in ("lost", "doubled", "rejected")}
        found = {**(figures if step.good or not found else found), **sums}
        _say(f"{step.rate:.0f}/s is {'good' if step.good else 'too much'}")
    good = [step["rate"] for step in steps if step["good"]]
    return {**found, "knee": max(good, default=0.0), "steps": steps}


async def _burst(trials: Trials, asked: argparse.Namespace) -> Findings:
    tenant = [w for w in trials.stage.weddings if w.accounts is trials.stage.weddings[0].accounts]
    webhooks = int(_BURST_RATE * _BURST_SECONDS)
    flood = await burst(trials, tenant=tenant, webhooks=webhooks, seconds=_BURST_SECONDS, rate=asked.rate)
    return flood.figures()


SCENARIOS: Mapping[str, Callable[[Trials, argparse.Namespace], Awaitable[Findings]]] = {
    "accept": _accept,
    "steady": _steady,
    "knee": _knee,
    "burst": _burst,
}


async def run(asked: argparse.Namespace) -> Findings:
    """Set up, load, take down, and return what was found."""
    key = os.environ.get("WEDSYNC_API_KEY")
    name = f"bench-{new_id()[-8:]}"
    with tempfile.TemporaryDirectory(prefix="wedsync-load-") as folder:
        async with (
            a_target(asked.home, [key] if key else ()) as target,
            a_sink(asked.fan_out + 1, delay_ms=_DELAY_MS) as sink,
        ):
            _say(f"making {asked.weddings} weddings, each with {asked.fan_out + 1} vendors")
            async with a_stage(target, sink, _shape(asked), run=name) as stage:
                _say(f"{asked.scenario} begins")
                trials = Trials(stage, System.of(target.run, sink.pid), Path(folder), name)
                found = await SCENARIOS[asked.scenario](trials, asked)
                _say("unlinking")
            ceilings = await alone(Path(folder))
    settings = {name: getattr(asked, name) for name in ("scenario", "weddings", "fan_out", "duration")}
    ratios = {name: round(found["achieved_rate"] / rate, 4) for name, rate in ceilings.items()}
    return {**settings, **found, "ratios": ratios, "ceilings_per_second": ceilings}


def _shape(asked: argparse.Namespace) -> Shape:
    # At least two groups of accounts, so that a flood from one leaves others.
    studio = min(STUDIO_WEDDINGS, max(1, asked.weddings // 2))
    return Shape(weddings=asked.weddings, fan_out=asked.fan_out, studio_weddings=studio)


def main() -> int:
    """Run what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m wedsync.testing.load", description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--duration", type=float, default=10.0)
    parser.add_argument("--weddings", type=int, default=50)
    parser.add_argument("--fan-out", type=int, default=1)
    try:
        found = asyncio.run(run(parser.parse_args()))
    except (WedSyncError, TimeoutError) as error:
        _say(str(error) or "something took too long")
        return 2
    except KeyboardInterrupt:
        return _INTERRUPTED
    sys.stdout.write(json.dumps(found) + "\n")
    return 1 if found["lost"] or found["doubled"] or found["rejected"] else 0


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
