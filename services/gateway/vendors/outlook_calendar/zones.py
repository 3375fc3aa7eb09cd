"""Windows' names of time zones, as Outlook has them, and the IANA zones they mean (Unicode CLDR)."""

from __future__ import annotations

from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tzlocal.windows_tz import tz_win, win_tz

_UTC_NAMES = frozenset({"", "utc", "tzone://microsoft/utc"})


@lru_cache(maxsize=512)
def is_zone(name: str) -> bool:
    """Say whether there is an IANA zone of that name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def windows_name(iana: str) -> str | None:
    """Return Windows' name of an IANA zone, None where Windows has none."""
    return "UTC" if iana == "UTC" else tz_win.get(iana)


def iana_name(shown: str, preferred: str) -> str | None:
    """Return the IANA zone that Outlook's name of a zone means, None if it means none.

    One Windows zone stands for many places; if the preferred zone is one of them, it is meant.
    """
    if shown.lower() in _UTC_NAMES:
        return "UTC"
    if windows_name(preferred) == shown:
        return preferred
    found = win_tz.get(shown, shown)
    return found if is_zone(found) else None
