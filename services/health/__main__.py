"""Entry of the health service: settings, wiring, serve."""

from __future__ import annotations

import asyncio
import sys

import uvloop

from services.health.settings import HealthSettings
from services.health.wiring import build
from wedsync.runtime.logs import configure_logs
from wedsync.runtime.metrics import start_metrics_server
from wedsync.runtime.settings import SettingsError
from wedsync.runtime.telemetry import start_telemetry


def main() -> int:
    """Serve until SIGTERM; return the process' exit status."""
    try:
        settings = HealthSettings.from_env()
        configure_logs(settings.service, settings.log_level)
        uvloop.run(_serve(settings))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


async def _serve(settings: HealthSettings) -> None:
    telemetry = start_telemetry(settings.service, settings)
    metrics = start_metrics_server(settings.metrics_port, settings.bind_host)
    try:
        async with build(settings, telemetry=telemetry) as app:
            await app.server.serve_until_signalled()
    finally:
        await asyncio.to_thread(telemetry.shutdown)
        metrics.stop()


if __name__ == "__main__":
    sys.exit(main())
