"""When calling a vendor stops, and how it begins again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.calls.breaker import (
    CAP_SECONDS,
    CLOSED,
    FAILURES,
    FIRST_SECONDS,
    PROBE_SECONDS,
    Breaker,
    Rest,
    abandoned,
    ask,
    failed,
)


def broken(breaker: Breaker = CLOSED, now: float = 0.0) -> Breaker:
    """Let calls fail until calling stops."""
    for _ in range(FAILURES):
        breaker = failed(breaker, now, probe=False, dice=1.0)
    return breaker


def test_calling_stops_after_failures_in_a_row() -> None:
    """One failure less than the bound changes nothing; the last one stops calls for the first pause."""
    almost = CLOSED
    for _ in range(FAILURES - 1):
        almost = failed(almost, 0.0, probe=False, dice=1.0)
    assert ask(almost, 0.0) == (almost, None)
    opened = failed(almost, 0.0, probe=False, dice=1.0)
    assert ask(opened, 0.0)[1] == Rest(seconds=FIRST_SECONDS)


def test_after_the_pause_one_probe_goes_and_nobody_beside_it() -> None:
    """Of all that ask after the pause, exactly the first may call."""
    opened = broken()
    probing, rest = ask(opened, FIRST_SECONDS)
    assert rest is None
    assert isinstance(ask(probing, FIRST_SECONDS)[1], Rest)


def test_a_probe_that_is_lost_is_replaced() -> None:
    """A probe of which nothing is heard stops calls for a while; one that was not made, not at all."""
    probing, _ = ask(broken(), FIRST_SECONDS)
    assert ask(probing, FIRST_SECONDS + PROBE_SECONDS)[1] is None
    assert ask(abandoned(probing, probe=True), FIRST_SECONDS)[1] is None


def test_late_failures_of_calls_under_way_do_not_lengthen_the_pause() -> None:
    """A hundred calls that time out together stop calling once."""
    opened = broken()
    for _ in range(100):
        opened = failed(opened, 1.0, probe=False, dice=1.0)
    assert opened.opened == 1
    assert opened.until == FIRST_SECONDS


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=50))
def test_pauses_grow_with_jitter_to_the_cap(dice: list[float]) -> None:
    """Each failed probe doubles the pause's bound until the cap; the true pause is over half of it."""
    breaker, now, bound = broken(), 0.0, FIRST_SECONDS
    for each in dice:
        now = breaker.until
        breaker, rest = ask(breaker, now)
        assert rest is None
        breaker = failed(breaker, now, probe=True, dice=each)
        bound = min(CAP_SECONDS, bound * 2)
        assert bound / 2 - 1e-6 <= breaker.until - now <= bound + 1e-6


def test_a_vendor_that_is_down_for_a_day_costs_few_calls() -> None:
    """Asked a hundred times a second for a day, a breaker lets about two probes a minute through."""
    breaker, calls, now = broken(), 0, 0.0
    while now < 86_400:
        breaker, rest = ask(breaker, now)
        if rest is None:
            calls += 1
            breaker = failed(breaker, now, probe=True, dice=0.5)
        now = breaker.until
    assert calls < 86_400 / CAP_SECONDS * 2
