"""The entry every service has: settings, telemetry, metrics, serve until SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import sys
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar

import uvloop

from wedsync.runtime.logs import configure_logs
from wedsync.runtime.metrics import start_metrics_server
from wedsync.runtime.server import GrpcServer
from wedsync.runtime.settings import ServerSettings, SettingsError
from wedsync.runtime.telemetry import Telemetry, start_telemetry

_YOUNG = 50_000
"""So many new objects are let be before the collector looks which of them are garbage in a circle."""

_Settings = TypeVar("_Settings", bound=ServerSettings)
_Read_contra = TypeVar("_Read_contra", bound=ServerSettings, contravariant=True)


class App(Protocol):
    """A built service."""

    @property
    def server(self) -> GrpcServer:
        """Its gRPC server; when that ends, the service ends."""
        ...


class Build(Protocol[_Read_contra]):
    """A service's `wiring.build`."""

    def __call__(
        self, settings: _Read_contra, /, *, telemetry: Telemetry
    ) -> AbstractAsyncContextManager[App]:
        """Build the service, with its background work running; take it down again at the end."""
        ...


def run(settings_type: type[_Settings], build: Build[_Settings]) -> int:
    """Serve until SIGTERM or SIGINT; return the process' exit status, 2 for settings that are wrong."""
    try:
        settings = settings_type.from_env()
        configure_logs(settings.service, settings.log_level)
        uvloop.run(_serve(settings, build))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


async def _serve(settings: _Settings, build: Build[_Settings]) -> None:
    telemetry = start_telemetry(settings.service, settings)
    metrics = start_metrics_server(settings.metrics_port, settings.bind_host)
    try:
        async with build(settings, telemetry=telemetry) as app:
            keep_what_is_loaded()
            await app.server.serve_until_signalled()
    finally:
        await asyncio.to_thread(telemetry.shutdown)
        metrics.stop()


def keep_what_is_loaded() -> None:
    """Spare what is there by now from every later garbage collection.

    It stays until the end, and looking all of it through holds every call up for some 60 ms.
    """
    gc.collect()
    gc.freeze()
    # Little lives longer than one piece of work: looking for it rarely saves a twelfth of all work.
    gc.set_threshold(_YOUNG, 20, 50)
