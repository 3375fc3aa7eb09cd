"""Runs the simulator on a port of this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvicorn

from wedsync.clock import SystemClock
from wedsync.testing.tave import storage
from wedsync.testing.tave.app import SANDBOX_KEY, Sandbox, create_app
from wedsync.testing.tave.quota import Quota
from wedsync.testing.tave.studio import StudioSettings


def configured(sandbox: Sandbox, port: int) -> uvicorn.Config:
    """Return what a server for the studio needs to know."""
    return uvicorn.Config(
        create_app(sandbox),
        host="127.0.0.1",
        port=port,
        log_level="critical",  # a broken connection is often what was asked for
        timeout_graceful_shutdown=3,
        ws="none",
    )


def serve(port: int, *, sandbox: Sandbox) -> None:
    """Serve a studio until SIGINT or SIGTERM."""
    uvicorn.Server(configured(sandbox, port)).run()


def main(arguments: list[str] | None = None) -> None:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m wedsync.testing.tave", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, help="keep the studio in this JSON file")
    parser.add_argument("--key", default=SANDBOX_KEY, help="the API key that may read and write")
    parser.add_argument("--read-only-key", help="an API key that may only read")
    parser.add_argument("--hook-body", choices=("resource", "target"), default="resource")
    parser.add_argument("--quota", type=int, help="requests a minute before 429")
    chosen = parser.parse_args(arguments)
    keys = {chosen.key: True} | ({chosen.read_only_key: False} if chosen.read_only_key else {})
    studio = storage.load(chosen.data, SystemClock(), StudioSettings())
    sandbox = Sandbox(studio, chosen.data, keys, chosen.hook_body, Quota(chosen.quota))
    serve(chosen.port, sandbox=sandbox)
