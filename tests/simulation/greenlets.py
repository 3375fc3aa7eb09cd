"""Code that blocks, on an event loop: it is left where it waits, and taken up again with the answer.

An owner's calls to its store block a thread in production. Here each is a point at which anything may
happen to anybody, and the owner's code is the same.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")


async def in_thread(function: Callable[[], T]) -> T:
    """Return what a function returns that waits with `wait_for`."""
    thread = greenlet(function)
    asked: Any = thread.switch()
    while not thread.dead:
        try:
            answer = await asked
        except BaseException as error:  # noqa: BLE001  # it belongs to whoever waits, the end of the process too
            asked = thread.throw(error)
        else:
            asked = thread.switch(answer)
    result: T = asked
    return result


def wait_for(awaitable: Awaitable[T]) -> T:
    """Block the thread that this is called in, and nobody else, until the answer is there."""
    hub = getcurrent().parent
    assert hub is not None, "only what runs in_thread can wait"
    answer: T = hub.switch(awaitable)
    return answer


class Lock:
    """A `threading.Lock` between such threads."""

    def __init__(self) -> None:
        self._held = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __enter__(self) -> None:
        while self._held:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            wait_for(turn)
        self._held = True

    def __exit__(self, *_: object) -> None:
        self._held = False
        if self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)


class Event:
    """A `threading.Event` that such a thread can wait for, and that nobody sets."""

    def wait(self, seconds: float) -> bool:
        """Wait for the time to pass."""
        wait_for(asyncio.sleep(seconds))
        return False
