"""When a vendor call is tried again, and when not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.deliver.retry import (
    CAP_SECONDS,
    MAX_ATTEMPTS,
    MAX_GARBLED,
    Again,
    Park,
    after_failure,
    backoff,
)
from services.gateway.vendors.port import (
    RecordGone,
    VendorAuthFailed,
    VendorError,
    VendorGarbage,
    VendorRejected,
    VendorUnavailable,
    VersionMismatch,
)


@pytest.mark.parametrize(
    ("error", "cure"), [(VendorAuthFailed("401"), "Connect"), (VendorRejected("no"), "Correct")]
)
def test_what_only_a_human_can_mend_is_parked_with_the_cure(error: VendorError, cure: str) -> None:
    """Refused credentials and refused records are not tried again; the reason says what to do."""
    verdict = after_failure(error, attempts=1, dice=0.5)
    assert isinstance(verdict, Park)
    assert cure in verdict.reason


@pytest.mark.parametrize("error", [VersionMismatch("moved"), RecordGone("gone")])
def test_a_record_that_moved_is_read_again_at_once(error: VendorError) -> None:
    """Nothing is wrong with the vendor, so there is nearly no wait."""
    assert after_failure(error, attempts=1, dice=0.5) == Again(seconds=0.025)


def test_the_vendors_own_time_is_respected() -> None:
    """Nobody comes back earlier than the vendor said, and not all at the same moment."""
    first, last = (
        after_failure(VendorUnavailable("429", retry_after=30.0), attempts=3, dice=dice)
        for dice in (0.0, 0.99)
    )
    assert isinstance(first, Again)
    assert isinstance(last, Again)
    assert 30 < first.seconds < last.seconds < 31


@pytest.mark.parametrize(
    ("error", "limit"),
    [
        (VendorGarbage("?"), MAX_GARBLED),
        (VendorUnavailable("503"), MAX_ATTEMPTS),
        (VersionMismatch("moved"), MAX_ATTEMPTS),
        (VendorError("odd"), MAX_ATTEMPTS),
    ],
)
def test_every_retry_ends(error: VendorError, limit: int) -> None:
    """Just before the limit there is one more try, at the limit there is none."""
    assert isinstance(after_failure(error, attempts=limit - 1, dice=0.5), Again)
    assert isinstance(after_failure(error, attempts=limit, dice=0.5), Park)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_waits_grow_to_a_cap_and_differ(attempts: int, dice: float) -> None:
    """A wait lies in the upper half of its step, and no step is above the cap."""
    assert 0.25 <= backoff(1, dice) <= 0.5
    assert backoff(attempts, dice) <= CAP_SECONDS
    assert backoff(attempts, dice) <= backoff(attempts + 1, dice)
