"""Which instant a local time is, also where the clocks skip it or show it twice. Pure.

Both are read as RFC 5545 says (section 3.3.5). A time that is shown twice is the first of the two. A time
that is skipped is meant by the offset before the gap: 02:30 in a gap from 02:00 to 03:00 is 03:30.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)


def instant(local: datetime, zone: str) -> datetime:
    """Return the instant of a local time in an IANA zone, in UTC."""
    return local.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)


def on_the_clock(local: datetime, zone: str) -> datetime:
    """Return what the clocks show at the instant of a local time: the same, unless they skip it."""
    return instant(local, zone).astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)


def gap(local: datetime, zone: str) -> tuple[datetime, datetime] | None:
    """Return from when to when the clocks go where they skip this local time; None where they show it."""
    if on_the_clock(local, zone) == local:
        return None
    place = ZoneInfo(zone)
    # Read by the offset after the gap it lies before the change, by the offset before the gap after it.
    before, after = local.replace(tzinfo=place, fold=1).astimezone(UTC), instant(local, zone)
    old, new = before.astimezone(place).utcoffset(), after.astimezone(place).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // _SECOND // 2 * _SECOND
        if middle.astimezone(place).utcoffset() == old:
            before = middle
        else:
            after = middle
    change = after.replace(tzinfo=None)
    return change + (old or timedelta()), change + (new or timedelta())
