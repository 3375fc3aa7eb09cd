"""What keeps an integration from full marks: named causes, each with its points. Pure.

The score is 100 less the points of all causes. Nothing heard is not health: silence costs more than any
single failure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

HEARD = frozenset({"webhook", "read", "write"})
"""Operations by which the vendor itself was heard."""

SILENT_AFTER = timedelta(minutes=30)
"""Six times the longest interval at which a vendor is polled."""
MIN_TRIES = 3
"""Fewer tries than this say nothing about a share."""

FULL = 100
POINTS = {"SILENT": 80, "AUTH_FAILED": 80, "READS_FAILING": 60, "WRITES_FAILING": 60, "WEBHOOKS_MISSING": 30}
"""What each cause costs at most; those about a share of tries cost that share of it."""
FAILING_BELOW, HEALTHY_FROM = 50, 95


class State(StrEnum):
    """How an integration is doing, in a word."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILING = "failing"
    STALE = "stale"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tries:
    """Successes and failures within the window."""

    successes: int
    failures: int

    @property
    def count(self) -> int:
        """How many there were."""
        return self.successes + self.failures


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One reason for less than full marks."""

    code: str
    description: str
    points: int


NONE = Tries(successes=0, failures=0)


def causes(tries: Mapping[str, Tries], freshness: timedelta, *, refused: bool) -> list[Cause]:
    """Return what costs points, the heaviest first.

    `refused` says that the vendor last refused our credentials, and has let us in never since.
    """
    found = [*_silence(freshness), *_auth(refused), *_missing(tries)]
    found += [*_failing("READS_FAILING", "reads", tries), *_failing("WRITES_FAILING", "writes", tries)]
    return sorted(found, key=lambda cause: (-cause.points, cause.code))


def score_of(found: list[Cause]) -> int:
    """Return the score that is left."""
    return max(0, FULL - sum(cause.points for cause in found))


def state_of(found: list[Cause]) -> State:
    """Return the state in a word. Who is silent is stale, whatever else is known."""
    if any(cause.code == "SILENT" for cause in found):
        return State.STALE
    score = score_of(found)
    if score < FAILING_BELOW:
        return State.FAILING
    return State.HEALTHY if score >= HEALTHY_FROM else State.DEGRADED


def _silence(freshness: timedelta) -> Iterator[Cause]:
    if freshness > SILENT_AFTER:
        minutes = int(freshness.total_seconds() // 60)
        yield _cause(
            "SILENT", f"Nothing was heard for {minutes} minutes; look at the vendor with `sync now`."
        )


def _auth(refused: bool) -> Iterator[Cause]:
    if refused:
        yield _cause("AUTH_FAILED", "The vendor refuses the credentials; connect the account again.")


def _missing(tries: Mapping[str, Tries]) -> Iterator[Cause]:
    missed, told = tries.get("missed_webhook", NONE).count, tries.get("webhook", NONE).successes
    if missed < MIN_TRIES:
        return
    text = f"{missed} changes came without a webhook and {told} with; check the vendor's webhook settings."
    yield _cause("WEBHOOKS_MISSING", text, missed / (missed + told))


def _failing(code: str, what: str, tries: Mapping[str, Tries]) -> Iterator[Cause]:
    seen = tries.get(what.removesuffix("s"), NONE)
    if seen.failures == 0 or seen.count < MIN_TRIES:
        return
    text = f"{seen.failures} of {seen.count} {what} failed in the last hour; see the last error."
    yield _cause(code, text, seen.failures / seen.count)


def _cause(code: str, description: str, share: float = 1.0) -> Cause:
    return Cause(code=code, description=description, points=max(1, round(POINTS[code] * share)))
