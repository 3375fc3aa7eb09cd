"""Runs the simulator as a program, until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Sequence

import uvloop

from wedsync.clock import SystemClock
from wedsync.testing.partner_api.running import running
from wedsync.testing.partner_api.sandbox import TOKEN, WEBHOOK_SECRET, Sandbox


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m wedsync.testing.partner_api", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token", default=TOKEN, help="the token that may call")
    parser.add_argument("--webhook-secret", default=WEBHOOK_SECRET, help="signs what we are told")
    parser.add_argument("--answer-delay-ms", type=float, default=0.0, help="how long each answer takes")
    parser.add_argument(
        "--open", action="store_true", help="any collection is there as soon as somebody asks for it"
    )
    chosen = parser.parse_args(arguments)
    sandbox = Sandbox(
        SystemClock(),
        token=chosen.token,
        webhook_secret=chosen.webhook_secret,
        answer_delay_ms=chosen.answer_delay_ms,
        opens_collections=chosen.open,
    )
    uvloop.run(_serve(sandbox, chosen.port))


async def _serve(sandbox: Sandbox, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running(sandbox, port=port):
        await stop.wait()
