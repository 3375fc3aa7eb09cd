"""Which lane a change travels in, and what waits in lanes."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sync.lanes import LANES, Calendar, LaneQueue, lane_of
from tests.unit.sync.builders import create
from wedsync.model.changes import Change, ChangeKind, Priority
from wedsync.model.ids import new_id
from wedsync.model.items import ItemKind

EMERGENCY, CRITICAL, NORMAL, BULK = LANES


def said(urgency: str) -> Change:
    """Return a message of some urgency."""
    return create(item_kind=ItemKind.MESSAGE, values={"text": "Fire!", "urgency": urgency})


@pytest.mark.parametrize(
    ("moment", "seconds"),
    [
        ("2027-06-11T09:59:59+00:00", 0),
        ("2027-06-11T10:00:00+00:00", 48 * 3600),
        ("2027-06-13T09:59:59+00:00", 1),
        ("2027-06-13T10:00:00+00:00", 0),
    ],
)
def test_the_live_window_follows_the_weddings_own_date(moment: str, seconds: float) -> None:
    """It lasts from noon before to noon after the day, in the wedding's zone."""
    calendar = Calendar(day=date(2027, 6, 12), time_zone="Europe/Paris")
    assert calendar.live_seconds(datetime.fromisoformat(moment)) == seconds
    assert Calendar(day=None, time_zone="UTC").live_seconds(datetime.fromisoformat(moment)) == 0


@pytest.mark.parametrize(
    ("change", "live", "backfill", "lane"),
    [
        (create(), False, False, NORMAL),
        (create(), True, False, CRITICAL),
        (create(), True, True, BULK),
        (said("normal"), False, False, NORMAL),
        (said("emergency"), False, False, EMERGENCY),
        (said("emergency"), True, True, EMERGENCY),
        (create(kind=ChangeKind.UPDATE, values={"title": "emergency"}), False, False, NORMAL),
    ],
)
def test_the_lane_is_derived(change: Change, *, live: bool, backfill: bool, lane: Priority) -> None:
    """What is said, the wedding's date and backfill decide; only a message can be an emergency."""
    assert lane_of(change, live=live, backfill=backfill) is lane


def test_the_most_urgent_go_first() -> None:
    """Whatever came first, an emergency is in front, then what is critical."""
    queue: LaneQueue[Priority] = LaneQueue(10)
    for lane in reversed(LANES):
        assert queue.put(lane, lane=lane, party="studio")
    assert queue.urgent
    assert queue.take(10) == list(LANES)
    assert not queue
    assert queue.take(10) == []


@pytest.mark.parametrize("flood", LANES)
def test_no_lane_starves_or_is_inert(flood: Priority) -> None:
    """However much waits in one lane, each take brings the others their share, and they end."""
    queue: LaneQueue[Priority] = LaneQueue(10_000)
    for lane in LANES:
        for _ in range(5_000 if lane is flood else 10):
            queue.put(lane, lane=lane, party="studio")
    takes = 0
    while any(queue.take(100).count(lane) for lane in LANES if lane is not flood):
        takes += 1
    assert 0 < takes <= 3
    assert queue


def test_what_is_larger_than_its_lanes_share_is_not_left_waiting() -> None:
    """A large submission in the smallest lane saves its shares up, while others flood."""
    queue: LaneQueue[str] = LaneQueue(10_000)
    queue.put("backfill", lane=BULK, party="studio", cost=500)

    def backfill_goes() -> bool:
        for _ in range(500):
            queue.put("edit", lane=CRITICAL, party="studio")
        return "backfill" in queue.take(500)

    assert [backfill_goes() for _ in range(20)] == [False] * 19 + [True]


def test_organizations_take_turns() -> None:
    """One organization's flood makes another wait for one turn, not for its end."""
    queue: LaneQueue[str] = LaneQueue(1_000)
    for _ in range(500):
        queue.put("flood", lane=NORMAL, party="studio")
    queue.put("edit", lane=NORMAL, party="florist")
    assert queue.take(2) == ["flood", "edit"]


def test_a_full_lane_turns_only_its_own_flood_away() -> None:
    """Beyond the limit an organization is refused; other lanes and organizations still find room."""
    queue: LaneQueue[str] = LaneQueue(3)
    assert [queue.put("x", lane=NORMAL, party="studio") for _ in range(4)] == [True, True, True, False]
    assert queue.put("y", lane=NORMAL, party="florist")
    assert all(queue.put("z", lane=lane, party="studio") for lane in (EMERGENCY, CRITICAL, BULK))


def test_there_is_a_bound_whoever_comes() -> None:
    """A lane holds at most twice its limit, however many organizations come with a little each."""
    queue: LaneQueue[int] = LaneQueue(10)
    taken = sum(queue.put(n, lane=NORMAL, party=new_id()) for n in range(100))
    assert taken == 20
    assert queue.put(0, lane=BULK, party="studio", cost=500)
    assert not queue.put(1, lane=BULK, party="florist", cost=1)


@given(
    st.lists(
        st.tuples(st.sampled_from(LANES), st.sampled_from("abc"), st.integers(1, 20)), min_size=1, max_size=60
    ),
    st.integers(1, 30),
)
def test_everything_put_in_comes_out_once(puts: list[tuple[Priority, str, int]], room: int) -> None:
    """Takes end, lose nothing, and keep each organization's order within a lane."""
    queue: LaneQueue[tuple[int, Priority, str]] = LaneQueue(10_000)
    for number, (lane, party, cost) in enumerate(puts):
        assert queue.put((number, lane, party), lane=lane, party=party, cost=cost)
    out: list[tuple[int, Priority, str]] = []
    while queue:
        taken = queue.take(room)
        assert taken
        out += taken
    assert sorted(number for number, _, _ in out) == list(range(len(puts)))
    for lane in LANES:
        for party in "abc":
            numbers = [n for n, in_lane, by in out if (in_lane, by) == (lane, party)]
            assert numbers == sorted(numbers)
