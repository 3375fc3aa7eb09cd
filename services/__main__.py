"""`python -m services`: the whole system on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from services.launcher.lock import home_lock
from services.launcher.prepare import prepare
from services.launcher.programs import MARKER, sandbox_programs, service_programs
from services.launcher.progress import Progress
from services.launcher.settings import StackSettings, with_usable_ports
from services.launcher.stack import Parts, run_stack
from wedsync.errors import WedSyncError
from wedsync.runtime.embedded.process import end_marked
from wedsync.runtime.settings import SettingsError

PARTS = Parts(prepare=prepare, sandbox=sandbox_programs, services=service_programs)

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: list[str] | None = None, parts: Parts = PARTS) -> int:
    """Run everything; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m services", description=__doc__)
    parser.add_argument("--ports", choices=("fixed", "auto"), help="auto: take free ports (WEDSYNC_PORTS)")
    options = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value}
    settings = StackSettings(**options)
    settings = settings.model_copy(update={"home": settings.home.absolute()})
    try:
        with home_lock(settings.home):
            asyncio.run(_until_signalled(with_usable_ports(settings), parts, Progress(sys.stdout)))
    except (WedSyncError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


async def _until_signalled(settings: StackSettings, parts: Parts, progress: Progress) -> None:
    running = asyncio.create_task(run_stack(settings, parts, progress))

    def end() -> None:
        if running.cancelling():
            end_marked(MARKER, str(settings.home))  # asked twice: nobody may finish what they do
        else:
            running.cancel()

    for signum in _ENDING:
        asyncio.get_running_loop().add_signal_handler(signum, end)
    await asyncio.wait([running])
    # All is down: a signal that comes now must not make a clean end look like a crash.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    if not running.cancelled():
        running.result()


if __name__ == "__main__":
    sys.exit(main())
