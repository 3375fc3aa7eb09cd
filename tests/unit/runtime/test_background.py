"""Background work is cancelled in order, and its failure stops the process."""

from __future__ import annotations

import asyncio
import contextlib

from wedsync.runtime.background import Background


async def _endless(journal: list[str], name: str) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        journal.append(name)


async def _failing() -> None:
    raise RuntimeError("broken")


async def test_work_ends_in_the_reverse_order_of_its_start() -> None:
    """What was started last ends first, and what is left for the end comes in its place."""
    journal: list[str] = []

    async def note() -> None:
        journal.append("drained")

    async with contextlib.AsyncExitStack() as stack:
        background = Background(stack, on_failure=lambda: journal.append("stop"))
        background.start(_endless(journal, "first"), "first")
        background.at_the_end(note)
        background.start(_endless(journal, "second"), "second")
        await asyncio.sleep(0)
    assert journal == ["second", "drained", "first"]


async def test_work_that_fails_stops_the_process() -> None:
    """An error that ends background work asks the process to stop instead of going on half alive."""
    stopped = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        Background(stack, on_failure=stopped.set).start(_failing(), "failing")
        async with asyncio.timeout(5):
            await stopped.wait()
