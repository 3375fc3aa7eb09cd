"""Times as Graph has them: local, seven digits of a fraction, and a Windows zone's name beside. Pure.

Kept is the moment in UTC; of an all-day event, its midnights, which belong to no zone.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tzlocal.windows_tz import tz_win, win_tz

from wedsync.testing.outlook.refusal import invalid

_DATE_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,7})?(Z?)")
_PARAMETER = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d{1,7})?(Z|[+-]\d\d:\d\d)?")


def zone(name: Any) -> ZoneInfo:
    """Return the zone of a Windows or IANA name. Raises `Refused`."""
    try:
        return ZoneInfo(win_tz.get(name, name))
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError) as error:
        raise invalid(f"{name} is not supported", "TimeZoneNotSupportedException") from error


def windows_name(name: str) -> str:
    """Return the name under which a zone is kept: Outlook has Windows' names only."""
    return name if name in win_tz else tz_win.get(name, "UTC")


def read(value: Any, name: str, *, floating: bool) -> tuple[datetime, str]:
    """Return the time a client wrote, in UTC or as written, and the name of its zone. Raises `Refused`."""
    if not isinstance(value, dict) or not set(value) <= {"dateTime", "timeZone", "@odata.type"}:
        raise invalid(f"{name} is no dateTimeTimeZone", "RequestBodyRead")
    found = _DATE_TIME.fullmatch(str(value.get("dateTime")))
    if found is None:
        raise invalid(f"{name} has no dateTime of the form 2027-06-12T14:00:00", "RequestBodyRead")
    given = value.get("timeZone", "UTC")
    place = zone(given)
    try:
        local = datetime.fromisoformat(found[1])
    except ValueError as error:
        raise invalid(f"{name}: {error}", "RequestBodyRead") from error
    utc = local if floating or found[2] else local.replace(tzinfo=place).astimezone(UTC).replace(tzinfo=None)
    return utc, windows_name(str(given))


def shown(kept: datetime, wanted: str, *, floating: bool) -> dict[str, str]:
    """Return a kept time in the zone that a client prefers."""
    place = zone(wanted)
    local = kept if floating else kept.replace(tzinfo=UTC).astimezone(place).replace(tzinfo=None)
    return {"dateTime": f"{local.isoformat(timespec='seconds')}.0000000", "timeZone": wanted}


def parameter(text: str | None, name: str) -> datetime:
    """Return a bound of a calendar view, in UTC. Raises `Refused`."""
    found = _PARAMETER.fullmatch(text or "")
    if found is None:
        raise invalid(f"The parameter {name} is missing or no time.", "ErrorInvalidParameter")
    moment = datetime.fromisoformat(found[1] + (found[2] or "Z").replace("Z", "+00:00"))
    return moment.astimezone(UTC).replace(tzinfo=None)


def stamp(moment: datetime) -> str:
    """Return a moment as Graph writes those of its own."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}0Z"


def is_midnight(kept: datetime) -> bool:
    """Say whether a time is the beginning of a day."""
    return kept - datetime.combine(kept.date(), datetime.min.time()) == timedelta()
