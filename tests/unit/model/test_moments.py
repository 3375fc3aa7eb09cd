"""Which instant a local time is where the clocks skip it or show it twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property.values import ZONES
from wedsync.model.moments import gap, instant, on_the_clock

_FIRST, _LAST = datetime.fromisoformat("1900-01-02"), datetime.fromisoformat("2200-12-30")
local_times = st.datetimes(_FIRST, _LAST).map(lambda local: local.replace(microsecond=0))


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("local", "zone", "is_at"),
    [
        ("2027-06-12T15:00:00", "America/New_York", "2027-06-12T19:00:00"),
        ("2027-11-07T01:30:00", "America/New_York", "2027-11-07T05:30:00"),
        ("2027-10-31T02:30:00", "Europe/Paris", "2027-10-31T00:30:00"),
        ("2027-03-14T02:30:00", "America/New_York", "2027-03-14T07:30:00"),
        ("2027-03-28T02:00:00", "Europe/Paris", "2027-03-28T01:00:00"),
    ],
)
def test_a_time_shown_twice_is_the_first_and_a_skipped_one_is_meant_by_the_offset_before(
    local: str, zone: str, is_at: str
) -> None:
    """As RFC 5545 says in section 3.3.5."""
    assert instant(_at(local), zone) == _at(is_at).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("local", "zone", "from_when", "to_when"),
    [
        ("2027-03-14T02:00:00", "America/New_York", "2027-03-14T02:00:00", "2027-03-14T03:00:00"),
        ("2027-03-14T02:59:59", "America/New_York", "2027-03-14T02:00:00", "2027-03-14T03:00:00"),
        ("2027-10-03T02:15:00", "Australia/Lord_Howe", "2027-10-03T02:00:00", "2027-10-03T02:30:00"),
        ("2011-12-30T12:00:00", "Pacific/Apia", "2011-12-30T00:00:00", "2011-12-31T00:00:00"),
        ("2018-11-04T00:30:00", "America/Sao_Paulo", "2018-11-04T00:00:00", "2018-11-04T01:00:00"),
    ],
)
def test_a_gap_is_found_from_any_time_in_it(local: str, zone: str, from_when: str, to_when: str) -> None:
    """An hour, half an hour, a whole day: from its first second to the first after it."""
    assert gap(_at(local), zone) == (_at(from_when), _at(to_when))


@given(local_times, st.sampled_from(ZONES))
def test_a_time_is_shown_or_lies_in_a_gap(local: datetime, zone: str) -> None:
    """What the clocks show stays; what they skip is moved by the length of the gap, to a time they show."""
    shown, skipped = on_the_clock(local, zone), gap(local, zone)
    assert on_the_clock(shown, zone) == shown
    assert instant(shown, zone) == instant(local, zone)
    if skipped is None:
        assert shown == local
    else:
        start, end = skipped
        assert start <= local < end
        assert shown == local + (end - start)
        assert on_the_clock(start - timedelta(seconds=1), zone) == start - timedelta(seconds=1)
