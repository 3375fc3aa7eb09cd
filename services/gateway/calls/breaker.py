"""Whether a vendor is worth a call: after failures in a row only single probes go, ever more rarely. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.gateway.deliver.retry import backoff

FAILURES = 5
"""Transient failures in a row after which calling stops."""
FIRST_SECONDS, CAP_SECONDS = 2.0, 60.0
PROBE_SECONDS = 60.0
"""A probe of which nothing is heard for so long is taken for lost."""
_BESIDE_PROBE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """What was seen of one account. Closed while `opened` is 0."""

    failures: int = 0
    opened: int = 0
    """How often in a row calling was stopped."""
    until: float = 0.0
    probe_since: float | None = None


CLOSED = Breaker()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """No call now; ask again in so many seconds."""

    seconds: float


def ask(breaker: Breaker, now: float) -> tuple[Breaker, Rest | None]:
    """Return whether a call may be made, None for yes; while calling is stopped, that call is the probe."""
    if breaker.opened == 0:
        return breaker, None
    if now < breaker.until:
        return breaker, Rest(seconds=breaker.until - now)
    if breaker.probe_since is not None and now < breaker.probe_since + PROBE_SECONDS:
        return breaker, Rest(seconds=_BESIDE_PROBE_SECONDS)
    return replace(breaker, probe_since=now), None


def failed(breaker: Breaker, now: float, *, probe: bool, dice: float) -> Breaker:
    """Return what follows from a failed call; `dice` in [0, 1) is the jitter.

    Calls that were under way when calling stopped say nothing new.
    """
    if breaker.opened and not probe:
        return breaker
    failures = breaker.failures + 1
    if failures < FAILURES and not probe:
        return replace(breaker, failures=failures)
    opened = breaker.opened + 1
    pause = backoff(opened, dice, first=FIRST_SECONDS, cap=CAP_SECONDS)
    return Breaker(failures=failures, opened=opened, until=now + pause)


def abandoned(breaker: Breaker, *, probe: bool) -> Breaker:
    """Return what follows where the call was never made: the next one may be the probe."""
    return replace(breaker, probe_since=None) if probe else breaker
