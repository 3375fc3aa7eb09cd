"""`make converge`: many seeds for every vendor on all cores, or one again with all that happened in it."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence

from tests.convergence.faults import POINTS, TROUBLES
from tests.convergence.quiet import be_quiet
from tests.convergence.report import Report, problems, struck, table
from tests.convergence.site import manifests
from tests.convergence.world import World, lived

_SHOWN = 10


def _many(vendors: Sequence[str], seeds: range, processes: int) -> int:
    began = time.monotonic()
    with multiprocessing.Pool(processes, be_quiet) as pool:
        reports = pool.starmap(lived, [(v, s) for s in seeds for v in vendors], chunksize=5)
    _say("\n".join([*_faults(reports), *table(reports)]))
    wrong = problems(reports)
    for words in wrong[:_SHOWN]:
        _say(f"FAILED {words}")
    _say(f"{len(wrong)} of {len(reports)} seeds failed in {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


def _faults(reports: Sequence[Report]) -> list[str]:
    happened = struck(reports)
    points = {name: times for name, times in happened.items() if name in POINTS}
    calls = {name: happened[f"call {name}"] for name in TROUBLES}
    others = {name: times for name, times in happened.items() if not name.startswith("call ")}
    return [
        f"{sum(points.values())} deaths and pauses at {len(points)} of {len(POINTS)} points",
        "calls to vendors: " + ", ".join(f"{times} {name}" for name, times in calls.items()),
        ", ".join(f"{name} {times} times" for name, times in others.items() if name not in POINTS),
    ]


def _one(vendor: str, seed: int) -> int:
    be_quiet()
    world = World(vendor, seed)
    report = world.run()
    for name, line in world.site.lines.items():
        _say(f"{name}: {line.system.habits}")
    for moment, process, words in world.around.events:
        _say(f"{moment:10.4f} {process:6} {words}")
    for words in report.wrong:
        _say(f"FAILED {words}")
    _say(f"{vendor} {seed}: {report.edits} edits, digest {report.digest}")
    return 1 if report.wrong else 0


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.convergence", description=__doc__)
    parser.add_argument("--vendor", choices=list(manifests()), help="only this one's manifest")
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds for each vendor")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="how many at once")
    parser.add_argument("--seed", type=int, help="only this one, with everything that happens in it")
    asked = parser.parse_args()
    vendors = [asked.vendor] if asked.vendor else list(manifests())
    if asked.seed is not None:
        return _one(vendors[0], asked.seed)
    return _many(vendors, range(asked.first, asked.first + asked.seeds), asked.processes)


if __name__ == "__main__":
    sys.exit(main())
