"""What is asked for at the same time is done in one round, and each asker gets an answer of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from wedsync.errors import Overloaded, Unavailable
from wedsync.runtime import together
from wedsync.runtime.together import Together


class Recorder:
    """Answers numbers with their doubles, and remembers its rounds."""

    def __init__(self) -> None:
        self.rounds: list[list[int]] = []
        self.began: asyncio.Queue[None] = asyncio.Queue()
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def run(self, asked: Sequence[int]) -> list[int | Exception]:
        """Answer, once the gate is open."""
        self.began.put_nowait(None)
        self.rounds.append(list(asked))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if len(asked) > 1 and 13 in asked:
            raise ValueError("one of them is bad")
        return [ValueError("thirteen") if number == 13 else 2 * number for number in asked]


async def test_who_asks_in_one_turn_goes_together() -> None:
    """Everybody who asks in the same turn of the loop is served by one round, each with its own answer."""
    recorder = Recorder()
    ask = Together(recorder.run)
    assert await asyncio.gather(*(ask(number) for number in range(5))) == [0, 2, 4, 6, 8]
    assert recorder.rounds == [[0, 1, 2, 3, 4]]


async def test_who_asks_again_at_once_is_served() -> None:
    """The answer to one question may be followed by the next without a pause."""
    recorder = Recorder()
    ask = Together(recorder.run)
    async with asyncio.timeout(5):
        assert [await ask(number) for number in range(10)] == [2 * number for number in range(10)]


async def test_who_comes_during_a_round_goes_with_the_next() -> None:
    """While a round is under way whoever asks waits, and all of them go together."""
    recorder = Recorder()
    recorder.gate.clear()
    ask = Together(recorder.run)
    first = asyncio.create_task(ask(1))
    await recorder.began.get()
    later = [asyncio.create_task(ask(number)) for number in (2, 3)]
    await asyncio.sleep(0)
    recorder.gate.set()
    assert await asyncio.gather(first, *later) == [2, 4, 6]
    assert recorder.rounds == [[1], [2, 3]]


async def test_a_round_takes_no_more_than_it_may() -> None:
    """A round is bounded: the rest goes with the next."""
    recorder = Recorder()
    ask = Together(recorder.run, most=2)
    await asyncio.gather(*(ask(number) for number in range(5)))
    assert [len(each) for each in recorder.rounds] == [2, 2, 1]


async def test_one_bad_request_fails_alone() -> None:
    """Where a round fails for one of them, each is tried alone and only the bad one hears of it."""
    recorder = Recorder()
    ask = Together(recorder.run)
    answers = await asyncio.gather(ask(1), ask(13), ask(2), return_exceptions=True)
    assert [answers[0], answers[2]] == [2, 4]
    assert isinstance(answers[1], ValueError)
    assert recorder.rounds == [[1, 13, 2], [1], [13], [2]]


async def test_passing_trouble_is_not_tried_one_by_one() -> None:
    """A database that is away is not asked once more by each of those who wait."""
    recorder = Recorder()
    recorder.error = Unavailable("away")
    ask = Together(recorder.run)
    answers = await asyncio.gather(ask(1), ask(2), return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers)
    assert recorder.rounds == [[1, 2]]


async def test_who_gave_up_is_left_out() -> None:
    """Nothing is done for somebody who no longer waits, and the others get their answers."""
    recorder = Recorder()
    recorder.gate.clear()
    ask = Together(recorder.run)
    first = asyncio.create_task(ask(1))
    await recorder.began.get()
    second, third = asyncio.create_task(ask(2)), asyncio.create_task(ask(3))
    await asyncio.sleep(0)
    second.cancel()
    recorder.gate.set()
    assert [await first, await third] == [2, 6]
    assert recorder.rounds == [[1], [3]]


async def test_who_gives_up_during_the_round_harms_nobody() -> None:
    """An asker that gives up while its round is under way takes nothing from the others."""
    recorder = Recorder()
    recorder.gate.clear()
    ask = Together(recorder.run)
    one, other = asyncio.create_task(ask(1)), asyncio.create_task(ask(2))
    await recorder.began.get()
    one.cancel()
    recorder.gate.set()
    assert await other == 4


async def test_a_round_that_is_stuck_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks while a round takes long is served by another one."""
    monkeypatch.setattr(together, "_STUCK_SECONDS", 0.0)
    recorder = Recorder()
    recorder.gate.clear()
    ask = Together(recorder.run)
    stuck = asyncio.create_task(ask(1))
    await recorder.began.get()
    other = asyncio.create_task(ask(2))
    await recorder.began.get()
    assert recorder.rounds == [[1], [2]]
    recorder.gate.set()
    assert [await stuck, await other] == [2, 4]


async def test_too_many_are_turned_away_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is bounded: beyond it whoever asks is told when to come back."""
    monkeypatch.setattr(together, "MOST_WAITING", 1)
    recorder = Recorder()
    recorder.gate.clear()
    ask = Together(recorder.run)
    first = asyncio.create_task(ask(1))
    await recorder.began.get()
    second = asyncio.create_task(ask(2))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        await ask(3)
    assert refused.value.retry_after
    recorder.gate.set()
    assert [await first, await second] == [2, 4]


async def test_a_round_that_is_cut_off_answers_everybody() -> None:
    """Nobody waits for ever for a round that was cancelled with the loop's end."""
    recorder = Recorder()
    recorder.gate.clear()
    ask = Together(recorder.run)
    waiting = asyncio.create_task(ask(1))
    await recorder.began.get()
    for task in asyncio.all_tasks():
        if task.get_name() == "together":
            task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
