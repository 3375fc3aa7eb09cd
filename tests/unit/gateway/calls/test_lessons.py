"""What answers teach about how fast a vendor may be called."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from services.gateway.calls.lessons import UNSAID_SECONDS, lesson, too_much
from services.gateway.vendor_http import Response
from services.gateway.vendors.rate_limit import RateLimit, read_rate_limit
from wedsync.runtime.limiter import Lesson

NOW = datetime(2027, 1, 1, 12, tzinfo=UTC)
PLAIN = RateLimit(requests_per_second=5, concurrency=2)
HEADERS = {"limit": "X-Limit", "remaining": "X-Remaining", "reset": "X-Reset", "window_seconds": 60}


def rule(**headers: object) -> RateLimit:
    """Return a manifest's section with these headers."""
    return read_rate_limit({"requests_per_second": 5, "concurrency": 2, "headers": {**HEADERS, **headers}})


def answer(status: int = 200, body: object = None, **headers: str) -> Response:
    """Return a vendor's answer; `x_limit` is the header X-Limit."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status=status, headers=named, body=json.dumps(body).encode())


@pytest.mark.parametrize("said", ["30", format_datetime(NOW + timedelta(seconds=30), usegmt=True)])
@pytest.mark.parametrize("status", [429, 503])
def test_nobody_calls_before_the_time_the_vendor_names(status: int, said: str) -> None:
    """Retry-After counts in seconds and as a date, with 429 and with 503."""
    assert lesson(PLAIN, answer(status, retry_after=said), NOW) == Lesson(pause=30.0)


def test_a_vendor_that_names_no_time_is_left_alone_for_a_moment() -> None:
    """429 without a time is a short pause; 500 and 200 are none."""
    assert lesson(PLAIN, answer(429), NOW).pause == UNSAID_SECONDS
    assert lesson(PLAIN, answer(500, retry_after="9"), NOW) == Lesson()
    assert lesson(PLAIN, answer(), NOW) == Lesson()


@pytest.mark.parametrize(
    ("reset_is", "said"),
    [
        ("seconds", "12"),
        ("epoch", str(int(NOW.timestamp()) + 12)),
        ("date", format_datetime(NOW + timedelta(seconds=12), usegmt=True)),
    ],
)
def test_what_is_used_up_is_left_until_the_vendor_counts_afresh(reset_is: str, said: str) -> None:
    """Nothing remaining is a pause until the reset, however the vendor writes it."""
    learned = lesson(rule(reset_is=reset_is), answer(x_remaining="0", x_reset=said), NOW)
    assert learned == Lesson(pause=12.0, remaining=0)


@pytest.mark.parametrize("ahead", [timedelta(hours=3), timedelta(hours=-3)])
def test_a_time_is_meant_by_the_clock_of_whoever_names_it(ahead: timedelta) -> None:
    """A vendor whose clock is wrong says so by the Date of its answer: the wait is as long as it meant."""
    there = NOW + ahead
    stated = format_datetime(there, usegmt=True)
    until = format_datetime(there + timedelta(seconds=30), usegmt=True)
    assert lesson(PLAIN, answer(429, retry_after=until, date=stated), NOW).pause == 30.0
    used_up = answer(x_remaining="0", x_reset=until, date=stated)
    assert lesson(rule(reset_is="date"), used_up, NOW).pause == 30.0


def test_what_remains_and_the_limit_are_learned() -> None:
    """The remaining calls and the rate come from the headers the manifest names."""
    assert lesson(rule(), answer(x_remaining="7", x_limit="120"), NOW) == Lesson(remaining=7, per_second=2.0)


@pytest.mark.parametrize("nonsense", ["", "many", "-1", "nan", "inf"])
def test_headers_that_make_no_sense_say_nothing(nonsense: str) -> None:
    """Whatever a vendor writes there, nothing breaks and nothing is learned."""
    assert lesson(rule(), answer(x_remaining=nonsense, x_limit=nonsense, x_reset=nonsense), NOW) == Lesson()


GOOGLE = {"status": 403, "pointer": "/error/errors/0/reason", "values": ["rateLimitExceeded"]}


@pytest.mark.parametrize(
    ("status", "reason", "meant"),
    [(403, "rateLimitExceeded", True), (403, "forbidden", False), (400, "rateLimitExceeded", False)],
)
def test_a_403_may_mean_429_by_what_its_body_says(status: int, reason: str, meant: bool) -> None:
    """Only the status and reasons that the manifest names mean too many calls; others stay what they are."""
    google = read_rate_limit({"requests_per_second": 5, "concurrency": 2, "disguised": [GOOGLE]})
    assert too_much(google, answer(status, {"error": {"errors": [{"reason": reason}]}})) is meant
    assert not too_much(google, answer(403, {"error": {"errors": []}}))
    assert not too_much(google, Response(status=403, body=b"<html>"))
