"""From observations to health, with the clock as an argument."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from services.health.causes import POINTS, SILENT_AFTER, State, Tries
from services.health.score import AUTH_ERROR, MAX_ERROR, Observation, Status, assess, readable, summed_up

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
    read = Tries(successes=successes, failures=failures)
    health = assess(A_STATUS, {"read": read, "missed_webhook": Tries(successes=9, failures=0)}, NOW)
    assert health.attempts == successes + failures
    if health.success_rate is None:
        assert health.attempts == 0
    else:
        assert 0 <= health.success_rate <= 1
        assert round(health.success_rate * health.attempts) == successes


def test_freshness_is_the_time_since_the_last_success() -> None:
    """Freshness counts from the last success, else from the first observation, and is never negative."""
    none: dict[str, Tries] = {}
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


def _tries(**counts: tuple[int, int]) -> dict[str, Tries]:
    return {name: Tries(successes=s, failures=f) for name, (s, f) in counts.items()}


_WELL = _tries(read=(60, 0), write=(5, 0), webhook=(9, 0))


def _codes(status: Status, tries: dict[str, Tries]) -> list[str]:
    return [cause.code for cause in assess(status, tries, NOW).causes]


def test_who_does_all_well_has_full_marks() -> None:
    """Heard just now, and nothing failed: 100, healthy, no cause."""
    health = assess(A_STATUS, _WELL, NOW)
    assert (health.score, health.state, health.causes) == (100, State.HEALTHY, [])


def test_a_vendor_that_says_nothing_is_stale_not_healthy() -> None:
    """Silence is a cause of its own, also where nothing failed, and also where nothing was ever heard."""
    quiet = replace(A_STATUS, last_success_at=NOW - SILENT_AFTER - timedelta(minutes=5))
    for status in (quiet, replace(A_STATUS, last_success_at=None)):
        health = assess(status, {}, NOW)
        assert (health.state, [cause.code for cause in health.causes]) == (State.STALE, ["SILENT"])
        assert health.score == 100 - POINTS["SILENT"]
    assert "35 minutes" in assess(quiet, {}, NOW).causes[0].description


def test_a_new_account_has_time_to_be_heard() -> None:
    """Connected just now and not heard yet is not silence."""
    fresh = replace(A_STATUS, last_success_at=None, first_seen_at=NOW - timedelta(minutes=1))
    assert _codes(fresh, _tries(connect=(1, 0))) == []


def test_refused_credentials_are_named_until_the_vendor_lets_us_in_again() -> None:
    """The last word of the vendor counts."""
    refused = replace(A_STATUS, last_error=AUTH_ERROR, last_failure_at=NOW)
    health = assess(refused, _WELL, NOW)
    assert (health.causes[0].code, health.state) == ("AUTH_FAILED", State.FAILING)
    assert _codes(replace(refused, last_failure_at=NOW - timedelta(hours=1)), _WELL) == []
    never = replace(refused, last_success_at=None, first_seen_at=NOW)
    assert _codes(never, {}) == ["AUTH_FAILED"]


def test_what_fails_costs_its_share() -> None:
    """A tenth of the reads failing is a scratch, all of the writes failing is a failure."""
    some = assess(A_STATUS, _tries(read=(9, 1)), NOW)
    assert (some.score, some.state, [c.code for c in some.causes]) == (94, State.DEGRADED, ["READS_FAILING"])
    both = assess(A_STATUS, _tries(read=(9, 1), write=(0, 8)), NOW)
    assert (both.state, [c.code for c in both.causes]) == (State.FAILING, ["WRITES_FAILING", "READS_FAILING"])
    assert _codes(A_STATUS, _tries(write=(0, 2))) == []


def test_changes_that_no_webhook_told_of_are_noticed() -> None:
    """Where polls find what webhooks should have told, the webhooks are to be looked at."""
    assert _codes(A_STATUS, _tries(read=(60, 0), missed_webhook=(4, 0))) == ["WEBHOOKS_MISSING"]
    assert assess(A_STATUS, _tries(missed_webhook=(4, 0), webhook=(36, 0)), NOW).score == 97
    assert _codes(A_STATUS, _tries(missed_webhook=(2, 0))) == []


_COUNTS = st.dictionaries(
    st.sampled_from(["webhook", "read", "write", "connect", "missed_webhook"]),
    st.builds(Tries, successes=st.integers(0, 10**6), failures=st.integers(0, 10**6)),
)


@given(_COUNTS, st.integers(0, 10**5), st.booleans())
def test_the_causes_add_up_to_what_is_missing(tries: dict[str, Tries], quiet: int, refused: bool) -> None:
    """0 to 100; below 100 exactly if a cause is named; each costs at least one point."""
    status = replace(A_STATUS, last_success_at=NOW - timedelta(seconds=quiet))
    if refused:
        status = replace(status, last_error=AUTH_ERROR, last_failure_at=NOW)
    health = assess(status, tries, NOW)
    points = [cause.points for cause in health.causes]
    assert health.score == max(0, 100 - sum(points))
    assert all(point >= 1 for point in points)
    assert points == sorted(points, reverse=True)
    assert (health.state is State.STALE) == (timedelta(seconds=quiet) > SILENT_AFTER)


@given(_COUNTS, st.sampled_from(["read", "write"]), st.integers(0, 1000))
def test_a_further_failure_never_helps(tries: dict[str, Tries], operation: str, more: int) -> None:
    """More failures of reads or writes never raise the score."""
    before = tries.get(operation, Tries(successes=0, failures=0))
    worse = {**tries, operation: replace(before, failures=before.failures + more)}
    assert assess(A_STATUS, worse, NOW).score <= assess(A_STATUS, tries, NOW).score
