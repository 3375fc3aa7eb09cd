"""What the machine does when nothing else is asked of it: the rates that a load's rate is compared with."""

from __future__ import annotations

import base64
import contextlib
import secrets
import sys
import time
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from wedsync.testing.load.plan import Origin, numbered
from wedsync.testing.load.programs import a_generator
from wedsync.testing.load.stage import record

_WEBHOOKS = 6_000
_PATH = "/webhook"


async def alone(folder: Path) -> dict[str, float]:
    """Return how many webhooks a second the gateway's kind of server takes that only checks who sent them."""
    async with a_server() as server:
        rate, _ = await flood(folder, server)
    return {"http_accept_alone": round(rate, 1)}


@dataclass(frozen=True, slots=True)
class Server:
    """One that runs, and the secret by which it believes."""

    pid: int
    port: int
    secret: str


async def flood(folder: Path, server: Server) -> tuple[float, int]:
    """Return how many webhooks a second are taken when all are due at once, and how many there were."""
    origin = Origin(
        number=0,
        wedding_id="",
        account="",
        collection="c",
        record=record(0),
        first_edit=1,
        path=_PATH,
        secret=server.secret,
        copies=(),
    )
    # All are due at once: the next is sent when a connection is free.
    sends = numbered([origin], [(0.0, 0)] * _WEBHOOKS)
    http = f"http://127.0.0.1:{server.port}"
    async with a_generator(folder, [origin], sends, http=http, run="alone") as generator:
        start = time.time()
        outcomes = await generator.go(start)
    if not all(outcome.accepted for outcome in outcomes):
        raise RuntimeError("a server that takes everything took not everything")
    return len(outcomes) / (max(outcome.at for outcome in outcomes) - start), len(outcomes)


@contextlib.asynccontextmanager
async def a_server() -> AsyncIterator[Server]:
    """Start one; end it."""
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"
    command = (sys.executable, "-m", "wedsync.testing.load.bare", secret)
    process = await create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        line = await process.stdout.readline() if process.stdout else b""
        yield Server(process.pid, int(line), secret)
    finally:
        process.terminate()
        await process.wait()
