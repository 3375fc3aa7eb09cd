"""Run `python -m services` with small programs in the services' place: `standin_stack.py [--ports auto]`.

`STANDIN_GATEWAY` is the Python source the gateway's stand-in runs instead of sleeping; `STANDIN_PATIENCE` the
seconds each stand-in is given to end; `STANDIN_PROBE` set to anything keeps them from ever being ready.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from signal import SIGTERM

from services.__main__ import main
from services.launcher.programs import Credentials, Servers, base_environment
from services.launcher.settings import SERVICES, StackSettings
from services.launcher.stack import Parts
from services.launcher.units import Program, Unit
from wedsync.runtime.embedded.local import read_or_create_secret
from wedsync.runtime.embedded.process import Launch

_PATIENCE = float(os.environ.get("STANDIN_PATIENCE", "5"))
_SLEEP = "import signal; signal.pause()"


def prepare(settings: StackSettings, servers: Servers) -> Credentials:
    """Make just the key the welcome block shows."""
    key = settings.home / "secrets" / "demo_key"
    read_or_create_secret(key)
    urls = dict.fromkeys(SERVICES, servers.database_url)
    return Credentials(urls, {}, key, dict.fromkeys(SERVICES, key), key, key, "organization")


def _program(name: str, source: str, settings: StackSettings) -> Unit:
    log = settings.home / "logs" / f"{name}.log"
    argv = [sys.executable, "-c", source]
    launch = Launch(
        name=name, argv=argv, log=log, env=base_environment(settings), stops=((SIGTERM, _PATIENCE),)
    )
    return Program(launch, lambda: "STANDIN_PROBE" not in os.environ, start_seconds=10)


def sandbox(settings: StackSettings) -> Sequence[Unit]:
    """Return one vendor that does nothing."""
    return [_program("tave", _SLEEP, settings)]


def services(settings: StackSettings, servers: Servers, credentials: Credentials) -> Sequence[Unit]:
    """Return a gateway and a sync service that do nothing unless told to."""
    gateway = os.environ.get("STANDIN_GATEWAY", _SLEEP)
    return [_program("gateway", gateway, settings), _program("sync", _SLEEP, settings)]


if __name__ == "__main__":
    sys.exit(main(parts=Parts(prepare=prepare, sandbox=sandbox, services=services)))
