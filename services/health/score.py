"""From what was seen of an integration to how it is doing. Pure; the time is passed in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.health.causes import HEARD, Cause, State, Tries, causes, score_of, state_of

WINDOW = timedelta(hours=1)
"""What the success rate looks back on."""

RETENTION = timedelta(hours=24)
"""How long single observations are kept: longer than any reporter repeats one."""

AUTH_ERROR = "VendorAuthFailed"
"""The kind of error by which a vendor's refusal of our credentials is reported."""

MAX_ERROR = 500
"""Characters kept of an error's text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Tries of one kind with one integration, summed over a moment."""

    observation_id: str
    organization_id: str
    integration_id: str
    vendor: str
    operation: str
    successes: int
    failures: int
    last_error: str
    observed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is known of an integration since it was first observed."""

    organization_id: str
    integration_id: str
    vendor: str
    first_seen_at: datetime
    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    last_error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How an integration is doing."""

    status: Status
    freshness: timedelta
    """Since the last success; where there was none yet, since it was first observed."""
    success_rate: float | None
    """Of the tries within the window; None without any."""
    attempts: int
    score: int
    """0 to 100."""
    state: State
    causes: Sequence[Cause] = ()
    """What keeps the score below 100, the heaviest first."""


def assess(status: Status, tries: Mapping[str, Tries], now: datetime) -> Health:
    """Return how the integration is doing, from its tries within the window by operation."""
    since = status.last_success_at or status.first_seen_at
    freshness = max(timedelta(0), now - since)
    successes = sum(tries[operation].successes for operation in HEARD & set(tries))
    attempts = sum(tries[operation].count for operation in HEARD & set(tries))
    found = causes(tries, freshness, refused=_refused(status))
    return Health(
        status=status,
        freshness=freshness,
        success_rate=successes / attempts if attempts else None,
        attempts=attempts,
        score=score_of(found),
        state=state_of(found),
        causes=found,
    )


def _refused(status: Status) -> bool:
    failed, heard = status.last_failure_at, status.last_success_at
    return status.last_error == AUTH_ERROR and failed is not None and (heard is None or failed >= heard)


def summed_up(observations: Iterable[Observation]) -> list[Status]:
    """Return what a batch tells of each integration, in the order of their ids."""
    known: dict[tuple[str, str], Status] = {}
    for observation in observations:
        key = (observation.organization_id, observation.integration_id)
        told = _told(observation)
        known[key] = merged(known[key], told) if key in known else told
    return [known[key] for key in sorted(known)]


def merged(one: Status, other: Status) -> Status:
    """Return what both together tell of one integration, whichever came first."""
    failed_last = max(one, other, key=_failure_key)
    return Status(
        organization_id=one.organization_id,
        integration_id=one.integration_id,
        vendor=other.vendor,
        first_seen_at=min(one.first_seen_at, other.first_seen_at),
        last_success_at=_later(one.last_success_at, other.last_success_at),
        last_failure_at=failed_last.last_failure_at,
        last_error=failed_last.last_error,
    )


def readable(error: str) -> str:
    """Return an error's text as one line of bounded length."""
    return "".join(c if c.isprintable() else " " for c in error)[:MAX_ERROR].strip()


def _told(observation: Observation) -> Status:
    failed = observation.failures > 0
    heard = observation.successes > 0 and observation.operation in HEARD
    return Status(
        organization_id=observation.organization_id,
        integration_id=observation.integration_id,
        vendor=observation.vendor,
        first_seen_at=observation.observed_at,
        last_success_at=observation.observed_at if heard else None,
        last_failure_at=observation.observed_at if failed else None,
        last_error=observation.last_error if failed else "",
    )


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((moment for moment in (one, other) if moment), default=None)


def _failure_key(status: Status) -> tuple[bool, datetime]:
    return status.last_failure_at is not None, status.last_failure_at or status.first_seen_at
