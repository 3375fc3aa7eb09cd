"""What the processes of a system use, by what they are for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psutil

ACTORS, POSTGRES, VALKEY, RAY, SINK, GENERATOR, REST = (
    "actors",
    "postgres",
    "valkey",
    "ray",
    "sink",
    "generator",
    "rest",
)
_MARKS = {
    "services.gateway": "gateway",
    "services.sync": "sync",
    "services.conflicts": "conflicts",
    "services.health": "health",
    "WeddingActor": ACTORS,
    "postgres": POSTGRES,
    "valkey": VALKEY,
    "load.sink": SINK,
    "load.generator": GENERATOR,
    "raylet": RAY,
    "gcs_server": RAY,
    "ray::": RAY,
    "/ray/": RAY,
    "ray_warden": RAY,
}
LOAD = (SINK, GENERATOR)
"""The groups that are no part of the system."""
# The programs that every machine has besides: the supervisor, the sandbox's vendors, and who waits.
GROUPS = (*dict.fromkeys(_MARKS.values()), REST)


@dataclass(frozen=True, slots=True)
class System:
    """The processes to look at: what a supervisor started, and what the load started."""

    roots: tuple[int, ...]

    @classmethod
    def of(cls, run: Mapping[str, Any], *others: int) -> System:
        """Return the processes of the system that a run file tells of, and some others."""
        return cls(tuple(dict.fromkeys((int(run["pid"]), *map(int, run["pids"].values()), *others))))

    def processes(self) -> Iterator[tuple[str, psutil.Process]]:
        """Yield each process once, with its group."""
        seen: set[int] = set()
        for pid in self.roots:
            with contextlib.suppress(psutil.Error):
                root = psutil.Process(pid)
                for process in (root, *root.children(recursive=True)):
                    if process.pid not in seen and process.status() != psutil.STATUS_ZOMBIE:
                        seen.add(process.pid)
                        yield _group(process), process

    def usage(self) -> dict[str, float]:
        """Return the CPU seconds used so far, by group."""
        seconds = dict.fromkeys(GROUPS, 0.0)
        for group, process in self.processes():
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                seconds[group] += times.user + times.system
                if group == POSTGRES:  # the postmaster inherits what ended backends have used
                    seconds[group] += times.children_user + times.children_system
        return seconds

    def memory(self) -> dict[str, float]:
        """Return the megabytes in use, by group; what processes share is divided among them."""
        megabytes = dict.fromkeys(GROUPS, 0.0)
        for group, process in self.processes():
            with contextlib.suppress(psutil.Error):
                megabytes[group] += process.memory_full_info().pss / 1e6
        return {group: round(used, 1) for group, used in megabytes.items() if used}

    def count(self, group: str) -> int:
        """Return how many processes a group has."""
        return sum(found == group for found, _ in self.processes())


def microseconds_each(before: Mapping[str, float], after: Mapping[str, float], count: int) -> dict[str, int]:
    """Return the CPU of one of `count` things, by group and in all; `system` leaves out load and vendors."""
    used = {group: (after[group] - before[group]) / max(1, count) * 1e6 for group in GROUPS}
    system = sum(spent for group, spent in used.items() if group not in LOAD)
    found = {"all": sum(used.values()), "system": system, **used}
    return {group: round(spent) for group, spent in found.items()}


def _group(process: psutil.Process) -> str:
    if process.pid == os.getpid():
        return REST
    line = " ".join(process.cmdline()) or process.name()
    return next((group for mark, group in _MARKS.items() if mark in line), REST)
