"""`wedsync up`: the whole system on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec

import typer

from wedsync.cli.output import complain

LAUNCHER = "services.launcher"


def up() -> None:
    """Start the whole system on this machine, until Ctrl-C; needs a checkout."""
    start()


def start(launcher: str = LAUNCHER, become: Callable[[str, list[str]], object] = os.execv) -> None:
    """Become the launcher: a signal sent to `wedsync up` then reaches it without a go-between."""
    if not _importable(launcher):
        complain(
            "this installation has no launcher. Get a checkout of the project and say `make run` there, or "
            "point WEDSYNC_GATEWAY_TARGET, WEDSYNC_SYNC_TARGET and WEDSYNC_API_KEY at a system elsewhere."
        )
        raise typer.Exit(1)
    become(sys.executable, [sys.executable, "-m", launcher.partition(".")[0]])


def _importable(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
