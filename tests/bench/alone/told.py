"""How a program of the ceilings and whoever runs it talk: a line each, on stdout and stdin."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from typing import Any

_READY_SECONDS, _END_SECONDS = 180.0, 15.0


def say(what: object) -> None:
    """Tell whoever runs this program."""
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


def wait() -> None:
    """Wait for the word, or for the end of whoever runs this program."""
    sys.stdin.readline()


async def heard(process: Process) -> Any:
    """Return what the program says next. Raises `RuntimeError` if it ends instead."""
    assert process.stdout is not None
    async with asyncio.timeout(_READY_SECONDS):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError("a program of the ceilings ended; what it said is above")
    return json.loads(line)


async def give(process: Process) -> None:
    """Give the program the word."""
    assert process.stdin is not None
    process.stdin.write(b"\n")
    await process.stdin.drain()


@contextlib.asynccontextmanager
async def a_program(
    name: str, *arguments: str, env: Mapping[str, str] | None = None
) -> AsyncIterator[Process]:
    """Start a program of the ceilings and wait until it is ready; end it."""
    command = (sys.executable, "-m", f"tests.bench.alone.{name}", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env=env)
    try:
        await heard(process)
        yield process
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    """Let it end by itself, which Ray does without complaint; by force where it does not."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
