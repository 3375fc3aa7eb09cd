"""The process that stays with a local Ray hears that it is to end, whenever that is."""

from __future__ import annotations

import subprocess
import sys

# The machine's own timer interrupts it wherever it is, some thousand times.
_HAMMERED = """
import signal
from wedsync.runtime.embedded.ray_warden import Asked
asked = Asked(signal.SIGALRM)
assert not asked.within(0)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
for _ in range(300_000):
    assert asked.within(5)
signal.setitimer(signal.ITIMER_REAL, 0)
"""


def test_a_signal_is_heard_whatever_it_interrupts() -> None:
    """Signals in rapid succession, each within the handling of another, block nothing."""
    subprocess.run([sys.executable, "-c", _HAMMERED], check=True, timeout=20)
