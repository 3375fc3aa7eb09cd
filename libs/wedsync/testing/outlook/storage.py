"""Keeps a mailbox in a file, so that a sandbox remembers it across restarts."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

from wedsync.testing.outlook.mailbox import Kept, Mailbox


def restore(path: Path | None, mailbox: Mailbox, refresh: set[str]) -> None:
    """Fill the mailbox from the file, if there is one."""
    if path is None or not path.exists():
        return
    kept = json.loads(path.read_text("utf-8"))
    refresh |= set(kept.get("refresh", []))
    mailbox.calendars |= kept["calendars"]
    mailbox.number, mailbox.used = kept["number"], kept["used"]
    mailbox.events |= {entry["event_id"]: Kept(**entry) for entry in kept["events"]}


def save(path: Path | None, mailbox: Mailbox, refresh: set[str]) -> None:
    """Write the mailbox in one step: a reader sees the old file or the new one, never half of it."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    events = [dataclasses.asdict(kept) for kept in mailbox.events.values()]
    kept = {"calendars": mailbox.calendars, "number": mailbox.number, "used": mailbox.used, "events": events}
    kept |= {"refresh": sorted(refresh)}
    with beside.open("w", encoding="utf-8") as file:
        json.dump(kept, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
