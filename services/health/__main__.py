"""Entry of the health service: settings, wiring, serve."""

import sys

from services.health.settings import HealthSettings
from services.health.wiring import build
from wedsync.runtime.entry import run

if __name__ == "__main__":
    sys.exit(run(HealthSettings, build))
