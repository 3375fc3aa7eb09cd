"""Which channels a link should have, when to look again, and whether a notice came by one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.gateway.channels import (
    ENDING_SECONDS,
    LATER_SECONDS,
    OPENING_SECONDS,
    OVERLAP_SECONDS,
    SOON_SECONDS,
    Kept,
    Plan,
    next_look,
    plan_channels,
    proves,
)
from services.gateway.pace import while_told
from services.gateway.vendors.inbound import Notice
from services.gateway.vendors.port import Channel

NOW = datetime(2027, 1, 10, 12, tzinfo=UTC)
DAY = 86_400.0
HERE = "https://wedsync.test/hook"


def seconds(number: float) -> timedelta:
    """Return so many seconds."""
    return timedelta(seconds=number)


def kept(name: str = "a", *, age: float = 3_600, left: float = 6 * DAY, **changes: Any) -> Kept:
    """Return an open channel that was made so long ago and has so long to live."""
    channel = Channel(
        channel_id=name, secret=f"secret-{name}", ends_at=NOW + seconds(left), native={"resource_id": "r"}
    )
    made = Kept(
        id=name, link_id="l", channel=channel, address=HERE, created_at=NOW - seconds(age), opened=True
    )
    return replace(made, **changes)


def plan(*channels: Kept, address: str | None = HERE) -> Plan:
    """Decide, with a day before the end to renew in."""
    return plan_channels(channels, address=address, renew_before_seconds=DAY, now=NOW)


def test_a_link_without_a_channel_gets_one() -> None:
    """Nothing open, and a wish for one, is a channel to open."""
    assert plan() == Plan(opens=True)
    assert plan(address=None) == Plan()


def test_a_channel_that_works_is_left_alone() -> None:
    """Far from its end nothing is to be done."""
    assert plan(kept()) == Plan()


def test_a_channel_is_renewed_before_it_ends_and_both_live_for_a_while() -> None:
    """The next one is opened first; the one before is closed once its successor has settled."""
    old = kept("old", age=6 * DAY, left=DAY)
    assert plan(old) == Plan(opens=True)
    fresh = kept("new", age=OVERLAP_SECONDS - 1, left=7 * DAY)
    assert plan(old, fresh) == Plan()
    assert plan(old, replace(fresh, created_at=NOW - seconds(OVERLAP_SECONDS))) == Plan(closes=(old,))


def test_a_channel_that_has_ended_is_forgotten() -> None:
    """The vendor is not asked about it, and another is opened."""
    ended = kept(left=0)
    assert plan(ended) == Plan(opens=True, forgets=(ended,))


def test_one_that_is_being_opened_is_waited_for() -> None:
    """No second one is asked for meanwhile; when no answer came in time it is forgotten."""
    opening = kept(age=0, left=OPENING_SECONDS, opened=False)
    assert plan(opening) == Plan()
    silent = kept(age=OPENING_SECONDS, left=0, opened=False)
    assert plan(silent) == Plan(opens=True, forgets=(silent,))


def test_a_link_that_should_have_none_gets_rid_of_all() -> None:
    """A paused link, or one we cannot be told of, has its channels closed at once."""
    first, second = kept("a", age=1), kept("b", age=1)
    assert plan(first, second, address=None) == Plan(closes=(first, second))


def test_a_channel_to_another_address_is_replaced() -> None:
    """Once we are reached elsewhere a new one is opened; the old one is closed after it works."""
    moved = kept("old", address="https://old.test/hook")
    assert plan(moved) == Plan(opens=True)
    assert plan(moved, kept("new")) == Plan(closes=(moved,))


@pytest.mark.parametrize(
    ("channels", "dice", "expected"),
    [
        ([], 0.5, LATER_SECONDS),
        ([kept(left=6 * DAY)], 0.0, 5 * DAY),
        ([kept(left=6 * DAY)], 1.0, 4.5 * DAY),
        ([kept(age=6 * DAY, left=DAY)], 0.0, SOON_SECONDS),
        ([kept("a"), kept("b")], 0.0, OVERLAP_SECONDS),
        ([kept(opened=False)], 0.0, LATER_SECONDS),
    ],
)
def test_the_next_look_is_when_something_is_due(channels: list[Kept], dice: float, expected: float) -> None:
    """Renewals are spread over a while before the end, and never closer than a bound."""
    wait = next_look(channels, renew_before_seconds=DAY, now=NOW, dice=dice)
    assert wait == expected


@pytest.mark.parametrize("dice", [0.0, 0.4, 1.0])
def test_when_the_next_look_comes_the_renewal_is_due(dice: float) -> None:
    """Whatever the jitter was, the look finds the channel to be renewed, so that no look is in vain."""
    channel = kept(left=6 * DAY)
    wait = next_look([channel], renew_before_seconds=DAY, now=NOW, dice=dice)
    then = NOW + seconds(wait)
    assert plan_channels([channel], address=HERE, renew_before_seconds=DAY, now=then).opens


def test_a_short_life_is_used_by_half() -> None:
    """A vendor that grants less than the time to renew in is not asked again at once."""
    short = kept(age=0, left=600)
    assert plan(short) == Plan()
    assert next_look([short], renew_before_seconds=DAY, now=NOW, dice=1.0) == 300
    assert plan(kept(age=300, left=300)) == Plan(opens=True)


def test_one_that_says_it_ends_is_replaced_at_once() -> None:
    """However young it is, and whatever time there is to renew in."""
    assert plan(kept(age=1, left=ENDING_SECONDS)) == Plan(opens=True)
    assert plan(kept(age=1, left=2 * ENDING_SECONDS + 2)) == Plan()


def test_a_working_channel_makes_polls_rarer() -> None:
    """While it lives a link is polled at the longer interval, but not beyond its end."""
    for until, expected in [
        (None, 60),
        (NOW - seconds(1), 60),
        (NOW + seconds(10), 60),
        (NOW + seconds(300), 300),
        (NOW + seconds(DAY), 900),
    ]:
        assert while_told(60, 900, until=until, now=NOW) == expected


_RIGHT = Notice(channel_id="a", secret="secret-a", resource="r")


@pytest.mark.parametrize(
    ("changes", "believed"),
    [
        ({}, True),
        ({"channel_id": "b"}, False),
        ({"secret": "secret-b"}, False),
        ({"secret": ""}, False),
        ({"resource": "another"}, False),
        ({"resource": ""}, False),
    ],
)
def test_a_notice_is_believed_by_all_its_proofs(changes: dict[str, Any], believed: bool) -> None:
    """Id, secret and resource must all be the channel's."""
    assert proves(kept(), replace(_RIGHT, **changes), greeting=False) is believed


def test_before_it_is_granted_only_a_greeting_is_believed() -> None:
    """The vendor greets a channel before it says what it watches; anything else must wait."""
    opening = kept(opened=False)
    named = replace(_RIGHT, resource="not known yet")
    assert proves(opening, named, greeting=True)
    assert not proves(opening, named, greeting=False)
    assert not proves(opening, replace(named, secret="wrong"), greeting=True)


def test_a_vendor_that_names_no_resource_is_believed_without() -> None:
    """Where the vendor names nothing that is watched, there is nothing to compare."""
    channel = Channel(channel_id="a", secret="secret-a", ends_at=NOW)
    assert proves(kept(channel=channel), replace(_RIGHT, resource=""), greeting=False)
