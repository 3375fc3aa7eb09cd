"""`make simulate`: many seeds on all cores, or one of them again with all that happened in it."""

from __future__ import annotations

import argparse
import gc
import logging
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence

from tests.simulation.faults import POINTS
from tests.simulation.world import Report, World

_SHOWN = 10
_MANY = 100
"""So many seeds are enough to reach every point; fewer may miss one by chance."""


def lived(seed: int) -> Report:
    """Live through one seed."""
    return World(seed).run()


def summary(reports: Sequence[Report], seconds: float) -> str:
    """Return in words how all of them went."""
    passed, struck = _sums(report.passed for report in reports), _sums(report.struck for report in reports)
    points = [f"  {point:28} {passed[point]:9} {struck[point]:7}" for point in POINTS]
    troubles = [f"  {name:28} {'':9} {times:7}" for name, times in struck.items() if name not in POINTS]
    heading = f"  {'crash point':28} {'passed':>9} {'struck':>7}"
    rate = 60 * len(reports) / seconds
    total = (
        f"{len(reports)} seeds, {sum(report.operations for report in reports)} operations and"
        f" {sum(struck.values())} faults in {seconds:.0f} s: {rate:.0f} seeds a minute"
    )
    return "\n".join([heading, *points, *sorted(troubles), total])


def problems(reports: Sequence[Report]) -> list[str]:
    """Return what is wrong: broken promises with the command that shows them again, points never reached."""
    broken = [
        f"seed {report.seed}: {words}\n  again: .venv/bin/python -m tests.simulation --seed {report.seed}"
        for report in reports
        for words in report.wrong[:1]
    ]
    struck = _sums(report.struck for report in reports)
    never = [point for point in POINTS if not struck[point]] if len(reports) >= _MANY else []
    return broken + [f"no seed ever reached the point {point}" for point in never]


def _sums(counts: Iterable[dict[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return total


def _many(seeds: range, processes: int) -> int:
    began = time.monotonic()
    with multiprocessing.Pool(processes, _prepare) as pool:
        reports = list(pool.imap(lived, seeds, chunksize=20))
    _say(summary(reports, time.monotonic() - began))
    wrong = problems(reports)
    for words in wrong[:_SHOWN]:
        _say(f"FAILED {words}")
    _say(f"{len(wrong)} failed" if wrong else "nothing was lost, doubled or reordered")
    return 1 if wrong else 0


def _one(seed: int) -> int:
    _prepare()
    world = World(seed)
    report = world.run()
    for moment, process, words in world.around.events:
        _say(f"{moment:10.4f} {process:6} {words}")
    for words in report.wrong:
        _say(f"FAILED {words}")
    _say(f"seed {seed}: {report.operations} operations, digest {report.digest}")
    return 1 if report.wrong else 0


def _prepare() -> None:
    logging.disable(logging.CRITICAL)  # what goes wrong here goes wrong on purpose
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="how many at once")
    parser.add_argument("--seed", type=int, help="only this one, with everything that happens in it")
    asked = parser.parse_args()
    if asked.seed is not None:
        return _one(asked.seed)
    return _many(range(asked.first, asked.first + asked.seeds), asked.processes)


if __name__ == "__main__":
    sys.exit(main())
