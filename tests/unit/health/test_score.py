"""From observations to health, with the clock as an argument."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from services.health.score import MAX_ERROR, Observation, Status, Tries, assess, readable, summed_up

NOW = datetime(2027, 6, 1, 12, tzinfo=UTC)
A_STATUS = Status(
    organization_id="studio",
    integration_id="i1",
    vendor="tave",
    first_seen_at=NOW - timedelta(hours=2),
    last_success_at=NOW - timedelta(seconds=30),
)
A_READ = Observation(
    observation_id="o1",
    organization_id="studio",
    integration_id="i1",
    vendor="tave",
    operation="read",
    successes=1,
    failures=0,
    last_error="",
    observed_at=NOW,
)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_success_rate_is_the_share_of_tries_that_worked(successes: int, failures: int) -> None:
    """The rate is between 0 and 1 and fits the tries; without tries there is none."""
    health = assess(A_STATUS, Tries(successes=successes, failures=failures), NOW)
    assert health.attempts == successes + failures
    if health.success_rate is None:
        assert health.attempts == 0
    else:
        assert 0 <= health.success_rate <= 1
        assert round(health.success_rate * health.attempts) == successes


def test_freshness_is_the_time_since_the_last_success() -> None:
    """Freshness counts from the last success, else from the first observation, and is never negative."""
    none = Tries(successes=0, failures=0)
    assert assess(A_STATUS, none, NOW).freshness == timedelta(seconds=30)
    never = replace(A_STATUS, last_success_at=None)
    assert assess(never, none, NOW).freshness == timedelta(hours=2)
    ahead = replace(A_STATUS, last_success_at=NOW + timedelta(seconds=5))
    assert assess(ahead, none, NOW).freshness == timedelta(0)


def test_a_batch_is_summed_up_per_integration_whatever_its_order() -> None:
    """The latest success and the latest failure win in any order; integrations do not mix."""
    batch = [
        A_READ,
        replace(A_READ, observed_at=NOW - timedelta(minutes=2), failures=1, successes=0, last_error="old"),
        replace(A_READ, observed_at=NOW - timedelta(minutes=1), failures=2, last_error="new"),
        replace(A_READ, integration_id="i0", observed_at=NOW - timedelta(days=1)),
    ]
    for order in permutations(batch):
        other, mine = summed_up(order)
        assert (other.integration_id, mine.integration_id) == ("i0", "i1")
        assert mine.last_success_at == NOW
        assert mine.last_failure_at == NOW - timedelta(minutes=1)
        assert mine.last_error == "new"
        assert mine.first_seen_at == NOW - timedelta(minutes=2)
        assert other.last_failure_at is None


def test_an_observation_without_failures_brings_no_error() -> None:
    """An error text beside zero failures is not taken for a failure."""
    [status] = summed_up([replace(A_READ, last_error="left over")])
    assert (status.last_failure_at, status.last_error) == (None, "")


@given(st.text(max_size=2 * MAX_ERROR))
def test_errors_are_kept_as_one_short_line(error: str) -> None:
    """Whatever a reporter sends, what is kept is one printable line of bounded length."""
    kept = readable(error)
    assert kept.isprintable()
    assert len(kept) <= MAX_ERROR
