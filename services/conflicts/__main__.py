"""Entry of the conflicts service: settings, wiring, serve."""

import sys

from services.conflicts.settings import ConflictsSettings
from services.conflicts.wiring import build
from wedsync.runtime.entry import run

if __name__ == "__main__":
    sys.exit(run(ConflictsSettings, build))
