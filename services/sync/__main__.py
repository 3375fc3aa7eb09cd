"""Entry of the sync service: settings, wiring, serve."""

import sys

from services.sync.settings import SyncSettings
from services.sync.wiring import build
from wedsync.runtime.entry import run

if __name__ == "__main__":
    sys.exit(run(SyncSettings, build))
