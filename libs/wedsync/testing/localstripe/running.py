"""Runs localstripe as a child process, on a free port of this machine."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from wedsync.testing.localstripe.account import LocalStripe

_START_SECONDS, _STOP_SECONDS, _POLL_SECONDS = 20.0, 10.0, 0.05


@contextmanager
def running_localstripe(*, port: int | None = None, data: Path | None = None) -> Iterator[LocalStripe]:
    """Run it from scratch, or on what the file `data` holds, and stop it at the end. The file stays.

    Raises `RuntimeError` with its own words if it does not start.
    """
    port = port or _free_port()
    command = [sys.executable, "-m", "wedsync.testing.localstripe", "--port", str(port)]
    if data is not None:
        command += ["--data", str(data)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - our own command
        try:
            _wait_until_open(process, port, log)
            yield LocalStripe(url=f"http://127.0.0.1:{port}/v1")
        finally:
            _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_open(process: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
    limit = time.monotonic() + _START_SECONDS
    while time.monotonic() < limit:
        if process.poll() is not None:
            log.seek(0)
            tail = log.read().decode("utf-8", "replace")[-2000:]
            raise RuntimeError(f"localstripe ended at once with code {process.returncode}: {tail}")
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        # Between looks there is nothing to await: this helper also serves synchronous fixtures.
        time.sleep(_POLL_SECONDS)  # noqa: TID251
    raise RuntimeError(f"localstripe did not listen on port {port} within {_START_SECONDS} seconds")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_STOP_SECONDS)
