"""An event loop whose time is imagined and whose order is drawn from a seed, and the processes on it.

Time passes only when nothing is left to do. Of what is ready any may come next: what is right only in
the order in which a real loop happens to run things is found out here.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")

_MOST_STEPS = 3_000_000  # a seed takes some 30,000


class Stuck(Exception):
    """Nothing can ever happen again, or the same happens for ever without time passing."""


class Process:
    """What lives, freezes and dies as a whole: the tasks started by it, and by its tasks."""

    def __init__(self, name: str, loop: SimLoop) -> None:
        self.name, self._loop = name, loop
        self.dead = self.frozen = False
        self.parked: list[asyncio.Handle] = []
        self.on_death: list[Callable[[], None]] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._context = copy_context()
        self._context.run(_PROCESS.set, self)

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Have the process do something."""
        task: asyncio.Task[T] = self._loop.create_task(work, context=self._context)
        return task

    def freeze(self) -> None:
        """Stop it where it is; the world goes on."""
        self.frozen = not self.dead

    def thaw(self) -> None:
        """Let it go on as if nothing had been."""
        self.frozen = False
        self._loop.resume(self.parked)
        self.parked = []

    def kill(self) -> None:
        """End it. What its tasks still do while they are cancelled reaches nobody: its doors are shut."""
        if self.dead:
            return
        self.dead = True
        self.thaw()
        for task in self._tasks:
            task.cancel()
        for tell in self.on_death:
            tell()

    def lost_sight_of(self) -> None:
        """Be taken for dead by whoever watches over it."""

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Take a task as one of its own."""
        if self.dead:
            task.cancel()
            return
        if len(self._tasks) > 100:  # now and then is enough
            self._tasks = [known for known in self._tasks if not known.done()]
        self._tasks.append(task)


_PROCESS: ContextVar[Process] = ContextVar("process")


def process_of(context: Context | None) -> Process | None:
    """Return the process that a context belongs to; the present one's if none is given."""
    return _PROCESS.get(None) if context is None else context.get(_PROCESS)


class SimLoop(asyncio.BaseEventLoop):
    """Runs what is ready in an order drawn by `draw`, which returns numbers from 0 up to 1."""

    def __init__(self, draw: Callable[[], float]) -> None:
        super().__init__()
        self._draw, self._now = draw, 0.0
        self._steps = self._timed = 0
        self._ready: list[Any] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self.complaints: list[str] = []
        """What asyncio would have logged."""

    def time(self) -> float:
        """Return the imagined seconds since the start."""
        return self._now

    def create_task(self, coro: Any, *, name: object = None, context: Context | None = None) -> Any:
        """Start a task and have its process know it."""
        task = super().create_task(coro, name=name, context=context)
        process = process_of(context)
        if process is not None:
            process.adopt(task)
        return task

    def resume(self, handles: list[asyncio.Handle]) -> None:
        """Have what was parked run."""
        self._ready += handles

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody took care of."""
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    def call_at(  # type: ignore[override]  # simpler than what typeshed has
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Have something happen at a time."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._timed += 1
        heapq.heappush(self._timers, (when, self._timed, timer))
        return timer

    def _run_once(self) -> None:
        ready = self._ready
        if not ready:
            self._pass_time()
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise Stuck("it never comes to rest")
        place = int(self._draw() * len(ready)) if len(ready) > 1 else 0
        handle = ready[place]
        ready[place] = ready[-1]
        ready.pop()
        if handle._cancelled:
            return
        process = handle._context.get(_PROCESS)
        if process is not None and process.frozen:
            process.parked.append(handle)
        else:
            handle._run()

    def _pass_time(self) -> None:
        timers, ready = self._timers, self._ready
        while timers and (not ready or timers[0][0] <= self._now):
            when, _, timer = heapq.heappop(timers)
            if not timer.cancelled():
                self._now = max(self._now, when)
                ready.append(timer)
        if not ready:
            raise Stuck("nothing is left that could happen")

    def _write_to_self(self) -> None:
        """Nobody waits outside."""

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""
