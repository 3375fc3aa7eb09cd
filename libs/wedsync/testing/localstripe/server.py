"""Runs localstripe as a program, until SIGINT or SIGTERM, on the address of this machine only."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web
from localstripe.server import app  # type: ignore[import-untyped]

from wedsync.testing.localstripe.differences import prepare

_STOP_SECONDS = 2.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve as the command line says. Any key that begins with sk_ may call."""
    parser = argparse.ArgumentParser(prog="python -m wedsync.testing.localstripe", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, help="keep everything but webhook endpoints in this file")
    chosen = parser.parse_args(arguments)
    prepare(chosen.data)
    web.run_app(
        app,
        host="127.0.0.1",
        port=chosen.port,
        print=None,
        access_log=None,
        shutdown_timeout=_STOP_SECONDS,
    )
