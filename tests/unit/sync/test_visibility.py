"""What is remembered of who sees which wedding."""

from __future__ import annotations

import pytest

from services.sync import visibility
from services.sync.lanes import Calendar
from services.sync.visibility import TRUSTED_SECONDS, Visibility
from wedsync.clock import FakeClock
from wedsync.errors import UnknownWedding


class Members:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked, self.refuses = 0, False

    async def calendar(self, wedding_id: str, *, viewer: str | None) -> Calendar:
        """Answer."""
        self.asked += 1
        if self.refuses:
            raise UnknownWedding
        return Calendar(day=None, time_zone="UTC")


async def test_a_member_is_asked_about_once_in_a_while() -> None:
    """For some seconds what was allowed stays allowed, for this wedding and this viewer only."""
    members, clock = Members(), FakeClock()
    known = Visibility(members, clock)
    for _ in range(3):
        await known.require("w", viewer="studio")
    assert members.asked == 1
    await known.require("w", viewer=None)
    await known.require("v", viewer="studio")
    assert members.asked == 3
    clock.advance(TRUSTED_SECONDS)
    members.refuses = True
    with pytest.raises(UnknownWedding):
        await known.require("w", viewer="studio")


async def test_a_refusal_is_not_remembered() -> None:
    """Who becomes a member may write at once."""
    members = Members()
    members.refuses = True
    known = Visibility(members, FakeClock())
    with pytest.raises(UnknownWedding):
        await known.require("w", viewer="studio")
    members.refuses = False
    await known.require("w", viewer="studio")


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound everything is asked again."""
    monkeypatch.setattr(visibility, "_MOST", 2)
    members = Members()
    known = Visibility(members, FakeClock())
    for wedding_id in ("a", "b", "c", "c", "a"):
        await known.require(wedding_id, viewer=None)
    assert members.asked == 4
