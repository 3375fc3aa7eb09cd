"""Runs the simulator as a program, until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path

from wedsync.clock import SystemClock
from wedsync.testing.oauth2 import REFRESH_TOKEN, Authority
from wedsync.testing.outlook.mailbox import Mailbox
from wedsync.testing.outlook.running import running
from wedsync.testing.outlook.sandbox import TOKEN, Sandbox


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m wedsync.testing.outlook", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, help="keep the mailbox in this JSON file")
    parser.add_argument("--token", default=TOKEN, help="the access token that may call")
    chosen = parser.parse_args(arguments)
    # Without a file it forgets what it granted, so the refresh token it knows from the start must stay good.
    authority = Authority(rotates=chosen.data is not None, revokes=False, refresh={REFRESH_TOKEN})
    sandbox = Sandbox(
        mailbox=Mailbox(SystemClock()), data=chosen.data, tokens={chosen.token}, authority=authority
    )
    asyncio.run(_serve(sandbox, chosen.port))


async def _serve(sandbox: Sandbox, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running(sandbox, port=port):
        await stop.wait()
