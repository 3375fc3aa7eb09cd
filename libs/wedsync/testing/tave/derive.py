"""What Tave computes or rewrites by itself: UTC times, dropped seconds, formatted phones, names. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from wedsync.model.moments import instant

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

Json = dict[str, Any]


def ulid(milliseconds: int, randomness: int) -> str:
    """Return a lower-case ULID."""
    value = (milliseconds & (1 << 48) - 1) << 80 | randomness & (1 << 80) - 1
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))


@cache
def timezones() -> Mapping[str, str]:
    """Return the approved zone names by id; the ids are the same in every process."""
    return {ulid(1_500_000_000_000, n): name for n, name in enumerate(sorted(available_timezones()))}


@cache
def timezone_ids() -> Mapping[str, str]:
    """Return the ids by name."""
    return {name: zone_id for zone_id, name in timezones().items()}


def event(body: Json, studio_zone: str) -> Json:
    """Settle an event as Tave stores it: the zone's id wins, seconds go, UTC is computed."""
    zone = timezones().get(body["timezoneId"] or "") or body["timezoneName"] or studio_zone
    times = {name: body[name] and f"{body[name][:5]}:00" for name in ("startTime", "endTime")}
    settled = {**body, **times, "timezoneName": zone, "timezoneId": timezone_ids()[zone]}
    for end in ("start", "end"):
        settled[f"{end}Utc"] = _utc(settled[f"{end}Date"], settled[f"{end}Time"], zone)
    return {**settled, "readOnly": body.get("readOnly") or False, "phoneNumber": phone(body["phoneNumber"])}


def _utc(day: str | None, at: str | None, zone: str) -> str | None:
    if not day:
        return None
    return instant(datetime.fromisoformat(f"{day}T{at or '00:00:00'}"), zone).isoformat()


def job(body: Json, _: str) -> Json:
    """Compute a job's title and balances."""
    computed = {"title": body["name"] or "New job", "sample": False, "accountBalance": 0, "creditBalance": 0}
    return {**body, **computed, "jobTypeName": None, "leadSourceName": None}


def contact(body: Json, _: str) -> Json:
    """Compute a person's name from its parts and format every phone."""
    phones = {n: phone(body[n]) for n in ("cellPhone", "homePhone", "workPhone", "phone", "fax")}
    settled = {**body, **phones, "totalCost": 0, "totalRevenue": 0}
    if body["kind"] == "person":
        settled["name"] = " ".join(part for part in (body["firstName"], body["lastName"]) if part) or None
    return settled


def job_contact(body: Json, _: str) -> Json:
    """Say which kinds of role the person has in the job."""
    return {**body, "roleKinds": ["client"] if body["client"] else []}


def payment(body: Json, _: str) -> Json:
    """Add what only the studio's own software can change."""
    kept: Json = {"refundedAmount": body.get("refundedAmount") or 0, "refunds": [], "paymentAllocations": []}
    return {**body, **kept, "processedViaClientAccess": False}


def phone(value: Json | None) -> Json | None:
    """Parse a number as the vendor's library would for a studio in the United States."""
    if not value or not (value.get("e164") or value.get("formatted")):
        return None
    given = value.get("e164") or _parsed(value["formatted"])
    dial_code = "1" if given and given.startswith("+1") else None
    shown = _formatted(given) if given else value["formatted"]
    return {"id": None, "formatted": shown, "e164": given, "dialCode": dial_code}


def _parsed(written: str) -> str | None:
    digits = re.sub(r"\D", "", written)
    if written.lstrip().startswith("+") and 8 <= len(digits) <= 15:
        return f"+{digits}"
    local = digits.removeprefix("1") if len(digits) == 11 else digits
    return f"+1{local}" if len(local) == 10 else None


def _formatted(e164: str) -> str:
    national = re.fullmatch(r"\+1(\d{3})(\d{3})(\d{4})", e164)
    return f"({national[1]}) {national[2]}-{national[3]}" if national else e164


DERIVE = {
    "event": event,
    "job": job,
    "address-book": contact,
    "job-contact": job_contact,
    "payment": payment,
}
"""Per collection: from what was written to what is kept."""
