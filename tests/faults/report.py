"""What a fault cost those who called meanwhile: a line for each, shown when all tests are done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wedsync.testing.history import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One fault and what it cost."""

    fault: str
    recovery: float
    """The longest anybody waited for an answer, repeats included, that came after the fault began."""
    changes: int
    repeats: int
    unknown: int
    """Calls of which nobody told whether they had happened."""


def line_of(fault: str, calls: Sequence[Call], since: float) -> Line:
    """Return what the calls say about a fault that began at a moment."""
    answered = [call for call in calls if call.results is not None]
    asked: dict[str, float] = {}
    for call in calls:
        asked.setdefault(call.changes[0].change_id, call.invoked)
    waits = [c.returned - max(since, asked[c.changes[0].change_id]) for c in answered if c.returned > since]
    return Line(
        fault=fault,
        recovery=max(waits),
        changes=sum(len(call.changes) for call in answered),
        repeats=len(calls) - len(asked),
        unknown=sum(call.results is None and not call.refused for call in calls),
    )


def table(lines: Sequence[Line]) -> list[str]:
    """Return the lines as a table."""
    head = ("fault", "recovery", "changes", "repeats", "unknown")
    rows = [(x.fault, f"{x.recovery:.1f} s", str(x.changes), str(x.repeats), str(x.unknown)) for x in lines]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return ["  ".join(_cells(row, widths)) for row in (head, *rows)]


def _cells(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *others = zip(row, widths, strict=True)
    return [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
