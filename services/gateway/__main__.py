"""Entry of the gateway service: settings, wiring, serve."""

import sys

from services.gateway.settings import GatewaySettings
from services.gateway.wiring import build
from wedsync.runtime.entry import run

if __name__ == "__main__":
    sys.exit(run(GatewaySettings, build))
