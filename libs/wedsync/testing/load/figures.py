"""Percentiles, and how long what was sent took to get where it belongs. Pure."""

from __future__ import annotations

import bisect
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from wedsync.testing.load.plan import Origin, Send

_Place = TypeVar("_Place", bound=Hashable)

_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of the ordered values that at least this share of them does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def milliseconds(seconds: Iterable[float]) -> dict[str, float]:
    """Return the usual percentiles of some latencies; empty where there are none."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    return {name: round(percentile(ordered, share) * 1000, 1) for name, share in _SHARES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the vendor was answered when it sent a webhook."""

    status: int
    at: float
    webhook_id: str
    tries: int

    @property
    def accepted(self) -> bool:
        """Whether it was promised to be safe."""
        return 200 <= self.status < 300


Seen = tuple[float, int]
"""When somebody had which edit."""


class Track:
    """Which edits of one record somebody had when; a later edit stands for those before it."""

    def __init__(self, seen: Iterable[Seen] = ()) -> None:
        self._times: list[float] = []
        self._edits: list[int] = []
        for at, edit in sorted(seen):
            if not self._edits or edit > self._edits[-1]:
                self._times.append(at)
                self._edits.append(edit)

    def when(self, edit: int) -> float | None:
        """Return since when it has this edit or a later one, None where it has not."""
        place = bisect.bisect_left(self._edits, edit)
        return self._times[place] if place < len(self._times) else None


@dataclass(slots=True, kw_only=True)
class Evidence:
    """What was found where, by record: its inbox, its log, and the stores of its vendors."""

    inbox: Counter[str] = field(default_factory=Counter)
    """How many entries of each webhook id."""
    unfinished: Sequence[str] = ()
    """Webhooks that are neither processed nor on their way, with the reason."""
    log: Mapping[int, Sequence[Seen]] = field(default_factory=dict)
    """By record: when which edit was committed."""
    copies: Mapping[tuple[int, str, str], Sequence[Seen]] = field(default_factory=dict)
    """By record, account and collection: when which edit was written there."""


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What is missing and what is there twice, in words; and the latencies of the rest."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    accept: list[float] = field(default_factory=list)
    commit: list[float] = field(default_factory=list)
    delivered: list[float] = field(default_factory=list)
    last: float = 0.0
    """When the last edit had arrived at the last vendor."""

    def latencies(self) -> dict[str, dict[str, float]]:
        """Return the percentiles of each stage, counted from the planned moment of sending."""
        return {
            "accept": milliseconds(self.accept),
            "commit": milliseconds(self.commit),
            "send_to_vendor": milliseconds(self.delivered),
        }


def judge(
    origins: Sequence[Origin],
    sends: Sequence[Send],
    outcomes: Sequence[Outcome],
    evidence: Evidence,
    *,
    start: float,
) -> Verdict:
    """Compare what was promised with what was found."""
    verdict = Verdict()
    log = {number: Track(seen) for number, seen in evidence.log.items()}
    copies = {place: Track(seen) for place, seen in evidence.copies.items()}
    nowhere = Track()
    for send, outcome in zip(sends, outcomes, strict=True):
        if not outcome.accepted:
            continue
        origin, due = origins[send.origin], start + send.after
        verdict.accept.append(outcome.at - due)
        name = f"edit {send.edit} of record {origin.number}"
        if not evidence.inbox[outcome.webhook_id]:
            verdict.lost.append(f"{name} is not in the inbox")
        _note(verdict, verdict.commit, log.get(origin.number, nowhere), send.edit, due, f"{name}: log")
        for account, collection in origin.copies:
            track = copies.get((origin.number, account, collection), nowhere)
            _note(verdict, verdict.delivered, track, send.edit, due, f"{name}: {account}")
    verdict.doubled += [f"webhook {name}" for name, times in evidence.inbox.items() if times > 1]
    verdict.doubled += [f"{name} in the log" for name in _twice(evidence.log)]
    verdict.doubled += [f"{name} at a vendor" for name in _twice(evidence.copies)]
    return verdict


def _note(verdict: Verdict, latencies: list[float], track: Track, edit: int, due: float, what: str) -> None:
    at = track.when(edit)
    if at is None:
        verdict.lost.append(what)
        return
    latencies.append(at - due)
    verdict.last = max(verdict.last, at)


def _twice(found: Mapping[_Place, Sequence[Seen]]) -> list[str]:
    counted: dict[_Place, Counter[int]] = defaultdict(Counter)
    for place, seen in found.items():
        counted[place].update(edit for _, edit in seen)
    return [
        f"edit {edit} of {place}"
        for place, edits in counted.items()
        for edit, times in edits.items()
        if times > 1
    ]
