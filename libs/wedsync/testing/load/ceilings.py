"""What the machine does when nothing else is asked of it: the rates that a load's rate is compared with."""

from __future__ import annotations

import contextlib
import sys
import time
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

from wedsync.testing.load.figures import Outcome
from wedsync.testing.load.plan import Origin, numbered
from wedsync.testing.load.programs import a_generator
from wedsync.testing.load.stage import record

_WEBHOOKS = 6_000
_PATH = "/webhook"


async def alone(folder: Path) -> dict[str, float]:
    """Return how many webhooks a second the gateway's kind of server takes that does nothing with them."""
    origin = Origin(
        number=0,
        wedding_id="",
        account="",
        collection="c",
        record=record(0),
        first_edit=1,
        path=_PATH,
        secret="whsec_c2VjcmV0",  # noqa: S106  # signs what nobody checks
        copies=(),
    )
    # All are due at once: the next is sent when a connection is free.
    sends = numbered([origin], [(0.0, 0)] * _WEBHOOKS)
    async with (
        _a_server() as port,
        a_generator(folder, [origin], sends, http=f"http://127.0.0.1:{port}", run="alone") as generator,
    ):
        start = time.time()
        outcomes = await generator.go(start)
    return {"http_accept_alone": round(_rate(outcomes, start), 1)}


def _rate(outcomes: list[Outcome], start: float) -> float:
    return len(outcomes) / (max(outcome.at for outcome in outcomes) - start)


@contextlib.asynccontextmanager
async def _a_server() -> AsyncIterator[int]:
    command = (sys.executable, "-m", "wedsync.testing.load.bare")
    process = await create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        line = await process.stdout.readline() if process.stdout else b""
        yield int(line)
    finally:
        process.terminate()
        await process.wait()
