"""Keeps the calendars in a file, so that a sandbox remembers them across restarts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from wedsync.clock import Clock
from wedsync.testing.google_calendar.calendars import Calendar

_KEPT = ("calendar_id", "time_zone", "summary", "access_role", "events", "moved", "moves")


def restore(path: Path | None, clock: Clock) -> list[Calendar]:
    """Return the calendars in the file, if there is one."""
    if path is None or not path.exists():
        return []
    return [Calendar(clock=clock, **kept) for kept in json.loads(path.read_text("utf-8"))]


def save(path: Path | None, calendars: Iterable[Calendar]) -> None:
    """Write the calendars in one step: a reader sees the old file or the new one, never half of it."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("w", encoding="utf-8") as file:
        json.dump([{name: getattr(calendar, name) for name in _KEPT} for calendar in calendars], file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
