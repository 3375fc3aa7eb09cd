"""Looking at everything a vendor has: page by page, behind what people do now, and at a fitting pace."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.gateway.pace import is_lost, next_pause, spread
from services.gateway.poll import PAGES_A_TURN
from services.gateway.records import Backfill
from services.gateway.vendors.port import (
    CursorLost,
    Scan,
    VendorError,
    VendorGarbage,
    VendorRejected,
    VendorUnavailable,
)
from tests.support.gateway_world import World

NOON = datetime(2027, 6, 12, 12, tzinfo=UTC)


def pages(world: World, count: int, *, each: int = 2) -> list[str]:
    """Have the desk list its records on so many pages; return their ids."""
    desk = world.vendors["desk"]
    records = [desk.put(title=f"Event {number}") for number in range(count * each)]
    for page in range(count):
        part = [desk.records[name] for name in records[page * each : (page + 1) * each]]
        last = page == count - 1
        shown = frozenset(records) if last else None
        desk.scans.append(
            Scan(records=part, cursor={"page": page + 1}, more=not last, present=shown, total=len(records))
        )
    return records


def test_a_look_at_everything_goes_on_with_the_next_page() -> None:
    """What breaks off in the middle is not begun again: each page is read once, and progress is counted."""
    world = World()
    link, desk = world.links[0], world.vendors["desk"]
    pages(world, 3)
    desk.scans.insert(2, VendorUnavailable("503"))
    world.go_on(link)
    assert world.memory.cursors[link.link_id] == {"page": 2}
    shown = world.memory.links[link.link_id].backfill
    assert (shown.records, shown.pages, shown.expected, shown.ended_at) == (4, 2, 6, None)
    world.go_on(link)
    done = world.memory.links[link.link_id].backfill
    assert (done.records, done.pages, done.ended_at is not None) == (6, 3, True)
    assert len(world.memory.activities) == 6
    assert desk.scans == []


def test_a_look_at_everything_gives_way_to_other_links() -> None:
    """After some pages the link is due again behind whoever waits longer."""
    world = World()
    link = world.links[0]
    pages(world, PAGES_A_TURN + 2, each=1)
    world.go_on(link)
    assert {"kept": {"page": PAGES_A_TURN}, "rest": True} in world.memory.polls
    assert len(world.memory.activities) == PAGES_A_TURN
    world.go_on(link)
    assert world.memory.links[link.link_id].backfill.ended_at is not None


def test_what_it_finds_travels_behind_what_people_do_now() -> None:
    """Its changes are sent as a backfill; what a later look or a webhook finds is not."""
    world = World()
    link, desk = world.links[0], world.vendors["desk"]
    first = desk.put(title="Cake")
    world.go_on(link)
    world.dispatch()
    assert [change.values["title"] for change in world.canon.backfilled] == ["Cake"]
    desk.put(first, title="Vows")
    world.go_on(link)
    world.look(link, desk.put(title="Toast"))
    world.dispatch()
    assert len(world.canon.backfilled) == 1
    assert len(world.canon.log) == 3


def test_a_live_edit_does_not_wait_behind_the_backfill_of_its_record() -> None:
    """The record's older change travels with it, and the newer value wins."""
    world = World()
    link, desk = world.links[0], world.vendors["desk"]
    record = desk.put(title="Cake")
    world.go_on(link)
    desk.put(record, title="Vows")
    world.look(link, record)
    assert not any(row.activity.backfill for row in world.memory.activities)
    world.settle()
    [item] = world.canon.wedding.items.values()
    assert item.value("title") == "Vows"


def test_a_lost_cursor_means_everything_anew_without_doubles_or_deletes() -> None:
    """Nothing is created twice, nothing that is there is deleted, and what was missed meanwhile comes in."""
    world = World()
    link, desk = world.links[0], world.vendors["desk"]
    kept, edited, gone = (desk.put(title=title) for title in ("Cake", "Vows", "Toast"))
    world.settle()
    desk.put(edited, title="First dance")
    desk.remove(gone)
    fresh = desk.put(title="Fireworks")
    writes = world.writes()
    desk.scans = [
        CursorLost("410"),
        Scan(records=[desk.records[kept]], cursor={"page": 1}, more=True),
        Scan(
            records=[desk.records[edited], desk.records[fresh]],
            present=frozenset(desk.records),
            cursor={"at": 2},
        ),
    ]
    world.go_on(link)
    assert world.memory.cursors[link.link_id] is None
    assert world.memory.links[link.link_id].backfill == Backfill(expected=3)
    world.go_on(link)
    world.dispatch()
    assert len(world.canon.backfilled) >= 3
    world.settle()
    alive = [item for item in world.canon.wedding.items.values() if not item.deleted]
    assert {item.value("title") for item in alive} == {"Cake", "First dance", "Fireworks"}
    assert len(world.canon.wedding.items) == 4
    assert world.writes()["desk"] == writes["desk"]
    assert world.differences() == []


def test_absences_are_weighed_over_a_whole_scan() -> None:
    """A mass delete that comes in portions is braked, and a scan that met absences is not cut in two."""
    world = World()
    link, desk = world.links[0], world.vendors["desk"]
    records = [desk.put(title=f"Event {number}") for number in range(12)]
    world.settle()
    desk.records.clear()
    desk.scans = [
        Scan(missing=records[start : start + 4], cursor={"p": start}, more=start < 8) for start in (0, 4, 8)
    ]
    before = world.memory.cursors[link.link_id]
    world.go_on(link)
    assert not world.memory.links[link.link_id].active
    assert world.memory.cursors[link.link_id] == before


def test_a_poller_that_lost_its_link_stops() -> None:
    """Somebody else goes on; nothing is kept, and it is no failure of the vendor's."""
    world = World()
    link = world.links[0]
    pages(world, 2)
    world.polls.taken = {link.link_id}
    world.go_on(link)
    assert world.memory.cursors == {}
    assert not any("failed" in poll for poll in world.memory.polls)


@pytest.mark.parametrize(
    ("before", "changed", "pause"),
    [(60.0, True, 30.0), (60.0, False, 75.0), (25.0, True, 20.0), (290.0, False, 300.0)],
)
def test_busy_links_are_looked_at_more_often_and_quiet_ones_less(
    before: float, changed: bool, pause: float
) -> None:
    """The pause halves with changes and grows without, between the manifest's bounds."""
    assert next_pause(before, changed=changed, fastest=20.0, slowest=300.0) == pause


def test_looks_are_spread() -> None:
    """A share of the pause is left to chance, in both directions."""
    assert (spread(60, 0.2, 0.0), spread(60, 0.2, 0.5), spread(60, 0.2, 1.0)) == (48.0, 60.0, 72.0)


@pytest.mark.parametrize(
    ("error", "midway", "failures", "lost"),
    [
        (CursorLost("410"), False, 0, True),
        (VendorGarbage("400"), True, 4, False),
        (VendorGarbage("400"), True, 5, True),
        (VendorRejected("400"), True, 5, True),
        (VendorRejected("400"), False, 9, False),
        (VendorUnavailable("503"), True, 9, False),
    ],
)
def test_a_page_that_cannot_be_had_any_more_is_given_up(
    error: VendorError, midway: bool, failures: int, lost: bool
) -> None:
    """A place between two pages that a vendor has forgotten does not hold the link for ever."""
    assert is_lost(error, midway=midway, failures=failures) is lost


@pytest.mark.parametrize(
    ("records", "expected", "ended", "seconds"),
    [(100, 250, None, 90), (0, 250, None, 0), (100, 0, None, 0), (250, 250, NOON, 0)],
)
def test_how_long_it_goes_on_is_estimated(
    records: int, expected: int, ended: datetime | None, seconds: int
) -> None:
    """From what was seen in the time so far; nobody knows without a total, and what is over is over."""
    backfill = Backfill(started_at=NOON, ended_at=ended, records=records, expected=expected)
    assert backfill.remaining_seconds(NOON + timedelta(seconds=60)) == seconds
    assert replace(backfill, started_at=None).remaining_seconds(NOON) == 0


def test_the_pace_is_kept_with_the_link() -> None:
    """Quiet looks lead to longer pauses; a vendor whose manifest gives no bounds keeps its interval."""
    world = World()
    link = world.links[0]
    for _ in range(3):
        world.go_on(link)
    assert world.memory.links[link.link_id].poll_seconds == 10
