"""What is remembered of who sees which wedding."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from services.sync import visibility
from services.sync.lanes import Calendar
from services.sync.visibility import OWN_TRUSTED_SECONDS, TRUSTED_SECONDS, Sight, Visibility
from wedsync.clock import FakeClock
from wedsync.errors import Unavailable, UnknownWedding

_DAY = Calendar(day=None, time_zone="UTC")


class Members:
    """Keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Sequence[Sight]] = []
        self.strangers: set[Sight] = set()
        self.away = False

    async def calendars(self, asked: Sequence[Sight]) -> Mapping[Sight, Calendar]:
        """Answer."""
        self.asked.append(asked)
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable
        return {sight: _DAY for sight in asked if sight not in self.strangers}


async def test_a_member_is_asked_about_once_in_a_while() -> None:
    """For some seconds what was allowed stays allowed, for this wedding and this viewer only."""
    members, clock = Members(), FakeClock()
    known = Visibility(members, clock)
    for _ in range(3):
        await known.require("w", viewer="studio")
    assert members.asked == [[("w", "studio")]]
    await known.require("w", viewer=None)
    await known.require("v", viewer="studio")
    assert members.asked[1:] == [[("w", None)], [("v", "studio")]]
    clock.advance(TRUSTED_SECONDS)
    members.strangers = {("w", "studio")}
    with pytest.raises(UnknownWedding):
        await known.require("w", viewer="studio")


async def test_our_own_services_ask_again_only_after_minutes() -> None:
    """They see every wedding, and a membership that ends is none of theirs; in the end they ask too."""
    members, clock = Members(), FakeClock()
    known = Visibility(members, clock)
    await known.require("w", viewer=None)
    clock.advance(OWN_TRUSTED_SECONDS - 10)
    await known.require("w", viewer=None)
    assert len(members.asked) == 1
    clock.advance(10)
    await known.require("w", viewer=None)
    assert len(members.asked) == 2


async def test_a_refusal_is_not_remembered() -> None:
    """Who becomes a member may write at once."""
    members = Members()
    members.strangers = {("w", "studio")}
    known = Visibility(members, FakeClock())
    with pytest.raises(UnknownWedding):
        await known.require("w", viewer="studio")
    members.strangers = set()
    await known.require("w", viewer="studio")


async def test_what_is_asked_meanwhile_is_asked_together() -> None:
    """While one question is under way others gather, each once, and each gets the answer to its own."""
    members = Members()
    members.strangers = {("w3", "studio")}
    known = Visibility(members, FakeClock())
    asking = [
        asyncio.create_task(known.require(f"w{number % 5}", viewer="studio")) for number in (0, *range(10))
    ]
    given_up = asyncio.create_task(known.require("w4", viewer="studio"))
    await asyncio.sleep(0)
    given_up.cancel()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert [isinstance(answer, UnknownWedding) for answer in found] == [
        number % 5 == 3 for number in (0, *range(10))
    ]
    assert members.asked == [[(f"w{number}", "studio") for number in range(5)]]


async def test_what_is_in_use_is_asked_again_together_before_it_is_forgotten() -> None:
    """Many that are about to be forgotten are one question, whose answer nobody waits for."""
    members, clock = Members(), FakeClock()
    known = Visibility(members, clock)
    sights = [f"w{number}" for number in range(60)]
    for wedding_id in sights:
        await known.require(wedding_id, viewer="studio")
    members.asked.clear()
    clock.advance(TRUSTED_SECONDS - 2)
    for wedding_id in sights:
        await known.require(wedding_id, viewer="studio")
    await asyncio.sleep(0.01)
    assert [len(asked) for asked in members.asked] == [60]
    clock.advance(2.5)
    for wedding_id in sights:
        assert await known.require(wedding_id, viewer="studio") == _DAY
    assert len(members.asked) == 1


async def test_one_alone_is_asked_again_before_it_is_forgotten() -> None:
    """A wedding in steady use never has an edit wait for the question, however few others there are."""
    members, clock = Members(), FakeClock()
    known = Visibility(members, clock)
    await known.require("w", viewer="studio")
    for _ in range(40):
        clock.advance(0.5)
        waiting = asyncio.create_task(known.require("w", viewer="studio"))
        await asyncio.sleep(0)
        assert waiting.done()
        await asyncio.sleep(0.001)
    assert len(members.asked) < 8


async def test_who_was_found_to_have_left_is_refused_at_once() -> None:
    """When a renewal finds that a membership ended, what was known of it is forgotten."""
    members, clock = Members(), FakeClock()
    known = Visibility(members, clock)
    await known.require("w", viewer="studio")
    clock.advance(TRUSTED_SECONDS - 0.5)
    members.strangers = {("w", "studio")}
    await known.require("w", viewer="studio")
    await asyncio.sleep(0.001)
    with pytest.raises(UnknownWedding):
        await known.require("w", viewer="studio")


async def test_trouble_is_told_to_those_it_concerns() -> None:
    """When nothing can be asked, whoever waits is told why; the next one asks anew."""
    members = Members()
    known = Visibility(members, FakeClock())
    members.away = True
    found = await asyncio.gather(
        *(known.require(f"w{number}", viewer="studio") for number in range(3)), return_exceptions=True
    )
    assert all(isinstance(answer, Unavailable) for answer in found)
    members.away = False
    assert await known.require("w1", viewer="studio") == _DAY


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound everything is asked again."""
    monkeypatch.setattr(visibility, "_MOST", 2)
    members = Members()
    known = Visibility(members, FakeClock())
    for wedding_id in ("a", "b", "c", "c", "a"):
        await known.require(wedding_id, viewer=None)
    assert len(members.asked) == 4
