"""What the processes of the benchmark use, by what they are for."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psutil

GENERATOR, SERVICE, ACTORS, POSTGRES, VALKEY, RAY = (
    "generator",
    "service",
    "actors",
    "postgres",
    "valkey",
    "ray",
)
GROUPS = (SERVICE, ACTORS, POSTGRES, RAY, VALKEY, GENERATOR)


def every() -> Iterator[tuple[str, psutil.Process]]:
    """Yield this process and everything it started, each with its group."""
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                yield _group(process), process


def of(group: str) -> list[psutil.Process]:
    """Return the processes of a group."""
    return [process for found, process in every() if found == group]


@dataclass(frozen=True)
class Usage:
    """CPU seconds used so far, by group."""

    seconds: Mapping[str, float]

    @classmethod
    def now(cls) -> Usage:
        """Look."""
        seconds = dict.fromkeys(GROUPS, 0.0)
        for group, process in every():
            with contextlib.suppress(psutil.Error):
                seconds[group] += _cpu(process, ended_children=group == POSTGRES)
        return cls(seconds)

    def since(self, before: Usage) -> dict[str, float]:
        """Return what was used since then, by group."""
        return {group: self.seconds[group] - before.seconds[group] for group in GROUPS}


async def at_rest(seconds: float) -> float:
    """Return the share of a core that all but the generator take while nothing happens, in percent."""
    before = Usage.now()
    await asyncio.sleep(seconds)
    used = Usage.now().since(before)
    return round(sum(used[group] for group in GROUPS if group != GENERATOR) / seconds * 100, 1)


def microseconds_each(used: Mapping[str, float], count: int) -> dict[str, int]:
    """Return the CPU of one of `count` things, by group and in all but for the generator."""
    each = {f"{group} us": round(seconds / max(1, count) * 1e6) for group, seconds in used.items()}
    system = sum(seconds for group, seconds in used.items() if group != GENERATOR)
    return {"CPU us": round(system / max(1, count) * 1e6), **each}


def megabytes_per_actor() -> dict[str, float]:
    """Return the memory of an actor's process on average: its own, and with its share of what is shared."""
    actors = [process.memory_full_info() for process in of(ACTORS)]
    count = max(1, len(actors))
    return {
        "actors": len(actors),
        "USS MB": round(sum(memory.uss for memory in actors) / count / 1e6, 1),
        "PSS MB": round(sum(memory.pss for memory in actors) / count / 1e6, 1),
    }


def _group(process: psutil.Process) -> str:
    if process.pid == os.getpid():
        return GENERATOR
    line = " ".join(process.cmdline()) or process.name()
    marks = {"WeddingActor": ACTORS, "services.sync": SERVICE, "postgres": POSTGRES, "valkey": VALKEY}
    return next((group for mark, group in marks.items() if mark in line), RAY)


def _cpu(process: psutil.Process, *, ended_children: bool) -> float:
    # PostgreSQL's postmaster inherits what its backends used that have ended.
    times = process.cpu_times()
    ended = times.children_user + times.children_system if ended_children else 0.0
    return float(times.user + times.system + ended)
