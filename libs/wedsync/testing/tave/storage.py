"""Keeps a studio in a file, so that a sandbox remembers it across restarts."""

from __future__ import annotations

import json
import os
from pathlib import Path

from wedsync.clock import Clock
from wedsync.testing.tave.studio import StudioSettings, TaveStudio


def load(path: Path | None, clock: Clock, settings: StudioSettings) -> TaveStudio:
    """Return the studio the file holds; a fresh one if there is no file."""
    objects = json.loads(path.read_text()) if path and path.exists() else {}
    return TaveStudio(clock, settings, objects)


def save(path: Path | None, studio: TaveStudio) -> None:
    """Write the studio in one step: a reader sees the old file or the new one, never half of it."""
    if path is None:
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("w") as file:
        json.dump(studio.objects, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
