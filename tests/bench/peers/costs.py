"""What processes that are known by their pid have used."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

import psutil

POSTGRES, VALKEY, SINK, GENERATOR = "postgres", "valkey", "sink", "generator"
LOAD = (SINK, GENERATOR)
"""The groups that are no part of what is measured."""

Groups = Mapping[str, Sequence[int]]
"""Pids by what they are for; their children belong to them."""


def used(groups: Groups) -> dict[str, float]:
    """Return the CPU seconds used so far, by group."""
    return {group: sum(map(_family, pids)) for group, pids in groups.items()}


def microseconds_each(before: Mapping[str, float], after: Mapping[str, float], count: int) -> dict[str, int]:
    """Return the CPU of one of `count` things, by group and in all; `system` leaves out load and vendor."""
    each = {group: (after[group] - before[group]) / max(1, count) * 1e6 for group in after}
    system = sum(spent for group, spent in each.items() if group not in LOAD)
    return {
        group: round(spent) for group, spent in {"all": sum(each.values()), "system": system, **each}.items()
    }


def _family(pid: int) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        # Of those that have ended, their parent knows what they used.
        ended = process.cpu_times().children_user + process.cpu_times().children_system
        return _own(process) + ended + sum(map(_own, process.children(recursive=True)))
    return 0.0


def _own(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0
