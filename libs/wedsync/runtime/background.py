"""Work that goes on as long as the process: ended in order, and never dead without a word."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

_log = structlog.get_logger(__name__)


class Background:
    """Starts endless work and cancels it when the stack unwinds, last started first.

    Work that ends by itself has failed: then the process is asked to stop, so that whoever supervises it
    starts it anew. A gateway that takes webhooks but sends nothing would be worse than none.
    """

    def __init__(self, stack: contextlib.AsyncExitStack, *, on_failure: Callable[[], None]) -> None:
        self._stack, self._on_failure = stack, on_failure

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run the work until the stack unwinds."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._stack.push_async_callback(_cancel, task)

    def at_the_end(self, work: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Do this after everything started later was cancelled."""
        self._stack.push_async_callback(work, *arguments)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        _log.critical(
            "background work ended; the process stops", work=task.get_name(), exc_info=task.exception()
        )
        self._on_failure()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    # How it ended was logged; here it only has to be over.
    await asyncio.wait([task])
