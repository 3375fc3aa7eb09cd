"""Places where a test may kill or freeze a process, exactly there and nowhere else.

Chance would need years to hit the instant between a commit and its answer; the fault tests hit it at will:
they start Ray, or a service, with WEDSYNC_CRASH_POINTS naming a directory, and lay a file named after a
point into it, whose content is the signal, KILL or STOP, and optionally whom it is for: `STOP 4711`. The
first process to reach the point renames the file, so that exactly one acts, once, and the new name says which
process it was.

Nothing of this can happen by accident. Without the variable, which no setting and no deployment names,
`reach` is an empty function for the life of the process; with it, only a file of that name does anything.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

DIRECTORY = "WEDSYNC_CRASH_POINTS"
"""Environment variable of the processes: where a test arms points."""


def points(directory: str | None, send: Callable[[int, int], None] = os.kill) -> Callable[[str], None]:
    """Return what is called at each point; without a directory it does nothing."""
    if not directory:
        return lambda _: None

    def reach(point: str) -> None:
        armed, pid = Path(directory, point), os.getpid()
        try:
            what, _, whom = armed.read_text().partition(" ")
            if whom and int(whom) != pid:
                return
            armed.rename(armed.with_name(f"{point}.{pid}"))
        except FileNotFoundError:
            return
        send(pid, signal.Signals[f"SIG{what}"])

    return reach


reach = points(os.environ.get(DIRECTORY))
"""Say that the named point is reached."""
