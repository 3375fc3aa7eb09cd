"""One fault under load, from the first edit to the proof that nothing was lost and nothing doubled."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tests.faults.evidence import Evidence
from tests.faults.load import Crowd, Keys, Load
from tests.faults.report import Line, line_of
from wedsync.client import SyncClient, open_channel
from wedsync.convert import item_from_message, logged_change_from_message
from wedsync.model.changes import ItemState
from wedsync.model.items import LIFE
from wedsync.testing.history import Call, Entry, History, Reader, violations

_LOADED_SECONDS = 60.0
_FINISH_SECONDS = 90.0
_QUIET_SECONDS = 60.0
_ENOUGH_ANSWERS = 3

Place = tuple[int, str, str]
"""Of a collision: its sequence, item and field."""


class Stage(Protocol):
    """The system that the fault happens to."""

    @property
    def keys(self) -> Keys:
        """Return the keys callers have."""
        ...

    @property
    def evidence(self) -> Evidence:
        """Return its database's view."""
        ...

    def is_quiet(self, weddings: Sequence[str]) -> bool:
        """Say whether everything that was logged has been told to whom it concerns."""
        ...

    def own_calls(self, wedding: str, log: Sequence[Entry]) -> Sequence[Call]:
        """Return what the system itself sent to the wedding, and what it was told."""
        ...

    def require_told(self, wedding: str, log: Sequence[Entry], collisions: Collection[Place]) -> None:
        """Fail unless the receivers know every sequence and every open collision, and nothing else."""
        ...


class Trial:
    """The load and the fault, as a test steers them."""

    def __init__(self, stage: Stage, load: Load) -> None:
        self.load, self._stage = load, stage
        self.weddings = load.weddings
        self.fault_at = 0.0
        self.recovery: float | None = None
        """How long it took to recover, where that is not how long callers waited."""
        self._epochs: dict[str, int] = {}

    def begin(self) -> None:
        """Note that the fault begins now."""
        self._epochs = self.epochs()
        self.fault_at = time.monotonic()

    def epochs(self) -> dict[str, int]:
        """Return how often each wedding was taken over."""
        return self._stage.evidence.epochs(self.weddings)

    def moved(self) -> set[str]:
        """Return the weddings that were taken over since the fault began."""
        return {wedding for wedding, epoch in self.epochs().items() if epoch > self._epochs[wedding]}

    def require_rising_epochs(self) -> None:
        """Fail if an epoch is lower than it was before the fault."""
        assert all(epoch >= self._epochs[wedding] for wedding, epoch in self.epochs().items())

    async def until(self, condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
        """Return what the condition says once it is true; fail if it takes longer, or the load broke down."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            self.load.require_running()
            assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
            await asyncio.sleep(0.02)
        return found

    async def settled(self) -> None:
        """Wait until every wedding is edited and none changes its owner any more."""
        before: dict[str, int] = {}
        while before != (now := self.epochs()):
            before = now
            await self.answered()

    async def answered(self, seconds: float = _LOADED_SECONDS) -> None:
        """Wait until every wedding that anybody edits had answers to calls that began after now."""
        now = time.monotonic()
        await self.until(lambda: not self._silent(now), "every wedding is edited", seconds)

    def _silent(self, since: float) -> set[str]:
        calls = self.load.recorder.calls
        answered = [call.wedding_id for call in calls if call.results is not None and call.invoked > since]
        edited = [wedding for wedding, awake in self.load.awake.items() if awake.is_set()]
        return {wedding for wedding in edited if answered.count(wedding) < _ENOUGH_ANSWERS}


@dataclass(frozen=True)
class Outcome:
    """What is left of the weddings when all is quiet."""

    logs: Mapping[str, Sequence[Entry]]
    items: Mapping[str, Mapping[str, ItemState]]


@contextlib.asynccontextmanager
async def running_trial(
    stage: Stage, targets: Sequence[str], crowd: Crowd, *, fault: str, lines: list[Line]
) -> AsyncIterator[Trial]:
    """Put weddings under load; at the end stop, judge, and add a line to the report."""
    load = Load(stage.keys, targets, crowd)
    async with load.running():
        trial = Trial(stage, load)
        await trial.settled()
        yield trial
        async with asyncio.timeout(_FINISH_SECONDS):
            await load.finish()
        line = line_of(fault, load.recorder.calls, trial.fault_at)
        lines.append(line if trial.recovery is None else replace(line, recovery=trial.recovery))
        trial.require_rising_epochs()
        await trial.until(lambda: stage.is_quiet(load.weddings), "everything was told", _QUIET_SECONDS)
        async with open_channel(targets[0], api_key=stage.keys.internal) as channel:
            outcome = await _read(SyncClient(channel), load.weddings)
        await _seen(trial, outcome)
        _judge(stage, load, outcome)


async def _read(sync: SyncClient, weddings: Sequence[str]) -> Outcome:
    return Outcome(
        logs={wedding: await _log(sync, wedding) for wedding in weddings},
        items={wedding: await _items(sync, wedding) for wedding in weddings},
    )


async def _log(sync: SyncClient, wedding: str) -> list[Entry]:
    messages = [message async for message in sync.list_changes(wedding)]
    pairs = [logged_change_from_message(message) for message in messages]
    return [Entry(change=change, result=result) for change, result in pairs]


async def _items(sync: SyncClient, wedding: str) -> dict[str, ItemState]:
    messages = [message async for message in sync.list_items(wedding, show_deleted=True)]
    return {message.item_id: _as_kept(item_from_message(message)) for message in messages}


def _as_kept(item: ItemState) -> ItemState:
    """Return the item as an owner holds it: a message says `false` of what was never deleted."""
    return replace(item, life=replace(item.life, value=item.life.value or None))


async def _seen(trial: Trial, outcome: Outcome) -> None:
    ends = {wedding: log[-1].sequence for wedding, log in outcome.logs.items()}
    watchers = trial.load.watchers
    await trial.until(lambda: all(w.reached == ends[w.wedding_id] for w in watchers), "every watcher saw all")


def _judge(stage: Stage, load: Load, outcome: Outcome) -> None:
    own = [call for wedding, log in outcome.logs.items() for call in stage.own_calls(wedding, log)]
    readers = [
        Reader(name=w.name, wedding_id=w.wedding_id, after=0, seen=tuple(w.seen)) for w in load.watchers
    ]
    calls = [*load.recorder.calls, *own]
    broken = violations(History(calls=calls, logs=outcome.logs, items=outcome.items, readers=readers))
    assert not broken, "\n".join(broken)
    for wedding, log in outcome.logs.items():
        stage.require_told(wedding, log, set(open_collisions(outcome.items[wedding])))


def open_collisions(items: Mapping[str, ItemState]) -> list[Place]:
    """Return where items are disagreed about."""
    fields = [(item.item_id, {LIFE: item.life, **item.fields}) for item in items.values()]
    return [
        (state.collision.sequence, item_id, path)
        for item_id, states in fields
        for path, state in states.items()
        if state.collision is not None
    ]
