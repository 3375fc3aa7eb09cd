"""How seeds went, and what an edit costs each vendor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean
from typing import Any, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one edit, beside which nobody edited, cost one vendor."""

    vendor: str
    writes: int
    reads: int
    """Of single records; scans of what moved are counted apart."""
    scans: int


@dataclass(kw_only=True)
class Report:
    """One seed."""

    vendor: str
    seed: int
    wrong: list[str] = field(default_factory=list)
    digest: str = ""
    struck: Mapping[str, int] = field(default_factory=dict)
    edits: int = 0
    calm_seconds: list[float] = field(default_factory=list)
    """How long it took, each time, from the last fault or edit until nothing moved any more."""
    calm_rounds: list[int] = field(default_factory=list)
    """The same in scans of the vendor that was scanned most."""
    costs: list[Cost] = field(default_factory=list)

    def figures(self) -> list[Any]:
        """Return what `table` needs, as plain values that one process can send another."""
        costs = [(cost.vendor, cost.writes, cost.reads, cost.scans) for cost in self.costs]
        return [self.vendor, self.seed, self.calm_seconds, self.calm_rounds, costs]

    @classmethod
    def from_figures(cls, figures: Sequence[Any]) -> Self:
        """Return a report with figures only."""
        vendor, seed, seconds, rounds, costs = figures
        kept = [Cost(vendor=v, writes=writes, reads=reads, scans=scans) for v, writes, reads, scans in costs]
        return cls(vendor=vendor, seed=seed, calm_seconds=seconds, calm_rounds=rounds, costs=kept)

    @property
    def again(self) -> str:
        """Return the command that shows it once more."""
        return f".venv/bin/python -m tests.convergence --vendor {self.vendor} --seed {self.seed}"


def problems(reports: Iterable[Report]) -> list[str]:
    """Return what is wrong, with the command that shows it again."""
    return [f"{r.vendor} {r.seed}: {r.wrong[0]}\n  again: {r.again}" for r in reports if r.wrong]


def struck(reports: Iterable[Report]) -> Counter[str]:
    """Return how often each fault happened."""
    total: Counter[str] = Counter()
    for report in reports:
        total.update(report.struck)
    return total


def table(reports: Sequence[Report]) -> list[str]:
    """Return the figures: what an edit costs each vendor, and how long everybody takes to agree."""
    costs: dict[str, list[Cost]] = {}
    for cost in (cost for report in reports for cost in report.costs):
        costs.setdefault(cost.vendor, []).append(cost)
    head = f"{'an edit costs':24}{'edits':>8}{'writes':>14}{'reads':>14}{'scans':>14}"
    lines = [_line(vendor, of) for vendor, of in sorted(costs.items())]
    seconds = [second for report in reports for second in report.calm_seconds]
    rounds = [number for report in reports for number in report.calm_rounds]
    if not seconds:
        return [head, *lines]
    calm = (
        f"{mean(seconds):.1f} s, {mean(rounds):.1f} rounds of scans (max {max(seconds):.0f} s, {max(rounds)})"
    )
    return [head, *lines, f"until nothing moved any more: {calm}"]


def _line(vendor: str, costs: Sequence[Cost]) -> str:
    columns = (
        _figures([c.writes for c in costs]),
        _figures([c.reads for c in costs]),
        _figures([c.scans for c in costs]),
    )
    return f"{vendor:24}{len(costs):8}" + "".join(f"{column:>14}" for column in columns)


def _figures(numbers: Sequence[int]) -> str:
    return f"{mean(numbers):.2f} / {max(numbers)}"
