"""Keeps a workspace in a file, so that a sandbox remembers it across restarts."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

from wedsync.testing.slack.workspace import Channel, Workspace


def restore(path: Path | None, workspace: Workspace) -> str:
    """Fill the workspace from the file, if there is one, and return the app's address."""
    if path is None or not path.exists():
        return ""
    kept = json.loads(path.read_text("utf-8"))
    workspace.channels |= {entry["channel_id"]: Channel(**entry) for entry in kept["channels"]}
    return str(kept["url"])


def save(path: Path | None, workspace: Workspace, url: str) -> None:
    """Write the workspace in one step: a reader sees the old file or the new one, never half of it."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    channels = [dataclasses.asdict(channel) for channel in workspace.channels.values()]
    with beside.open("w", encoding="utf-8") as file:
        json.dump({"url": url, "channels": channels}, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
