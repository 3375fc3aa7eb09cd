"""What a person in front of the terminal sees while the system starts, runs and stops."""

from __future__ import annotations

import contextlib
from typing import TextIO

from services.launcher.supervisor import Observer


class Progress(Observer):
    """One plain line per step, so that it reads the same in a terminal and in a log."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def say(self, line: str) -> None:
        """Write one line now."""
        with contextlib.suppress(OSError):  # the terminal may be gone; what is running must still be ended
            self._out.write(line + "\n")
            self._out.flush()

    def starting(self, name: str) -> None:
        """Say that a step began."""
        self.say(f"  …   {name}")

    def ready(self, name: str, seconds: float) -> None:
        """Say that a step is done."""
        self.say(f"  ok  {name:<12} {seconds:6.2f} s")

    def died(self, name: str, wait: float) -> None:
        """Say that something broke and is being mended."""
        self.say(f"  !!  {name} ended; next start in {wait:.1f} s")

    def stopped(self, name: str, seconds: float) -> None:
        """Say that a part was ended."""
        self.say(f"  --  {name:<12} {seconds:6.2f} s")
