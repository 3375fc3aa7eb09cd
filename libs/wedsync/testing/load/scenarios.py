"""What is tried on a stage: a steady rate, the highest rate that is good enough, a flood from one tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wedsync.testing.load.figures import judge, milliseconds
from wedsync.testing.load.plan import Origin, Send, numbered, poisson
from wedsync.testing.load.stage import Wedding
from wedsync.testing.load.trial import Result, Trials

GOOD_MILLISECONDS = 200.0
"""A rate is good while the p99 from sending to the last vendor stays below."""
_WARM_UP_SECONDS = 3.0
_GROWTH, _HALVINGS = 1.5, 2
_LEAST, _MOST = 1.0, 10_000.0
_OTHERS_SEED = 2


async def steady(trials: Trials, *, rate: float, seconds: float) -> Result:
    """Load all weddings at one rate, after a moment of the same that does not count."""
    for length in (_WARM_UP_SECONDS, seconds):
        origins = await trials.stage.origins()
        result = await trials.prove(origins, poisson(origins, rate=rate, seconds=length))
    return result


@dataclass(frozen=True, slots=True)
class Step:
    """One rate, and whether it was good."""

    rate: float
    good: bool
    result: Result


async def knee(trials: Trials, *, first: float, seconds: float) -> AsyncIterator[Step]:
    """Raise the rate until it is no longer good, then look between the last good one and that."""
    tried: list[tuple[float, bool]] = []
    while (rate := next_rate(tried, first=first)) is not None:
        step = await _step(trials, rate, seconds)
        yield step
        tried.append((rate, step.good))


def next_rate(tried: Sequence[tuple[float, bool]], *, first: float) -> float | None:
    """Return which rate to try after these, each good or not; None once enough is known."""
    verdicts = [was_good for _, was_good in tried]
    if not tried:
        return first
    if all(verdicts):
        return _if_within(tried[-1][0] * _GROWTH)
    bad = min(rate for rate, was_good in tried if not was_good)
    if not any(verdicts):
        return _if_within(bad / 2)
    good = max(rate for rate, was_good in tried if was_good)
    halvings = len(tried) - 1 - max(verdicts.index(True), verdicts.index(False))
    return (good + bad) / 2 if halvings < _HALVINGS else None


def _if_within(rate: float) -> float | None:
    return rate if _LEAST <= rate <= _MOST else None


async def _step(trials: Trials, rate: float, seconds: float) -> Step:
    origins = await trials.stage.origins()
    result = await trials.prove(origins, poisson(origins, rate=rate, seconds=seconds))
    late = milliseconds(result.verdict.delivered).get("p99", float("inf"))
    return Step(rate, late <= GOOD_MILLISECONDS and result.accepted == result.planned, result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """What a flood from one tenant did to the others."""

    before: Result
    """The others alone."""
    during: Result
    others: Mapping[str, Mapping[str, float]]
    """The others' latencies during the flood."""

    def figures(self) -> dict[str, Any]:
        """Return everything as JSON has it, with what the flood cost the others."""
        before = self.before.verdict.latencies()
        key, share = "send_to_vendor", "p99"
        was, became = before[key].get(share, 0.0), self.others[key].get(share, 0.0)
        return {
            **self.during.figures(),
            "others_before_ms": before,
            "others_during_ms": dict(self.others),
            "others_p99_rise_percent": round((became / was - 1) * 100, 1) if was else 0.0,
        }


async def burst(
    trials: Trials, *, tenant: Sequence[Wedding], webhooks: int, seconds: float, rate: float
) -> Flood:
    """Send so many webhooks of one tenant's weddings within some seconds, beside the others' steady rate."""
    crowd = {wedding.wedding_id for wedding in tenant}
    before = await trials.prove(*_others(await trials.stage.origins(), crowd, rate, seconds * 2))
    origins, sends = _others(await trials.stage.origins(), crowd, rate, seconds * 2)
    ours = [origin for origin in await trials.stage.origins() if origin.wedding_id in crowd]
    flood = [(seconds * number / webhooks, len(origins) + number % len(ours)) for number in range(webhooks)]
    everyone = [*origins, *ours]
    both = numbered(everyone, [*((send.after, send.origin) for send in sends), *flood])
    during = await trials.prove(everyone, both)
    kept = [
        (send, outcome)
        for send, outcome in zip(both, during.outcomes, strict=True)
        if send.origin < len(origins)
    ]
    others, answers = [send for send, _ in kept], [outcome for _, outcome in kept]
    verdict = judge(origins, others, answers, during.evidence, start=during.start)
    return Flood(before=before, during=during, others=verdict.latencies())


def _others(
    origins: Sequence[Origin], crowd: set[str], rate: float, seconds: float
) -> tuple[list[Origin], list[Send]]:
    others = [origin for origin in origins if origin.wedding_id not in crowd]
    return others, poisson(others, rate=rate, seconds=seconds, seed=_OTHERS_SEED)
