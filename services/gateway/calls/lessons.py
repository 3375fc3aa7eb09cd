"""What an answer says about how fast its vendor may be called. Pure."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from services.gateway.vendor_http import Response, retry_after, stated_at
from services.gateway.vendors.pointers import pointed
from services.gateway.vendors.rate_limit import Disguise, RateHeaders, RateLimit
from wedsync.runtime.limiter import Lesson

UNSAID_SECONDS = 2.0
"""How long nobody calls where the vendor said that it is too much, but not until when."""
_MAX_SECONDS = 86_400.0


def too_much(rule: RateLimit, response: Response) -> bool:
    """Say whether the vendor refused because we call too often, in whatever words."""
    return response.status == 429 or any(_disguised(disguise, response) for disguise in rule.disguises)


def lesson(rule: RateLimit, response: Response, now: datetime) -> Lesson:
    """Return what is to be heeded from now on, by all that call this account."""
    headers, asked = rule.headers, retry_after(response.headers, now)
    now = stated_at(response.headers, now)
    remaining, limit = _number(response, headers.remaining), _number(response, headers.limit)
    pause = 0.0
    if too_much(rule, response):
        pause = _first(asked, _reset(headers, response, now), UNSAID_SECONDS)
    elif response.status == 503 and asked is not None:
        pause = asked
    elif remaining is not None and remaining < 1:
        pause = _first(_reset(headers, response, now), UNSAID_SECONDS)
    known = limit is not None and limit > 0 and headers.window_seconds is not None
    return Lesson(
        pause=min(pause, _MAX_SECONDS),
        remaining=remaining,
        per_second=limit / headers.window_seconds if known and limit and headers.window_seconds else None,
    )


def _disguised(disguise: Disguise, response: Response) -> bool:
    if response.status != disguise.status:
        return False
    try:
        return pointed(json.loads(response.body), disguise.pointer) in disguise.values
    except (ValueError, TypeError):
        return False


def _reset(headers: RateHeaders, response: Response, now: datetime) -> float | None:
    """Return in how many seconds the vendor counts afresh."""
    if headers.reset_is == "date":
        return _until(response.headers.get(headers.reset, ""), now)
    number = _number(response, headers.reset)
    if number is None:
        return None
    return max(0.0, number - now.timestamp()) if headers.reset_is == "epoch" else number


def _until(text: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _number(response: Response, name: str) -> float | None:
    try:
        number = float(response.headers.get(name, "")) if name else -1.0
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def _first(*seconds: float | None) -> float:
    return next((each for each in seconds if each is not None), 0.0)
