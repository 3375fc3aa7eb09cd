"""Which processes a test left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psutil


def descendants() -> set[int]:
    """Return the pids of everything this process started, directly or not, that still runs."""
    found = psutil.Process().children(recursive=True)
    return {p.pid for p in found if p.is_running() and p.status() != psutil.STATUS_ZOMBIE}


def mentioning(text: str) -> list[str]:
    """Return the command lines of all processes that mention a text, such as a temporary directory."""
    found = []
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
            marks = process.environ().values() if process.pid != psutil.Process().pid else ()
        except (psutil.Error, OSError):
            continue
        ended = not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        if not ended and (text in line or any(text == value for value in marks)):
            found.append(f"{process.pid} {line}")
    return found


def eventually(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Return once the condition holds; fail, saying what was waited for, when it takes longer."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        threading.Event().wait(0.05)
