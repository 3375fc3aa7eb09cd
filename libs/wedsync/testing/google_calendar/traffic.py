"""What reached the simulator, and the faults it was told to show. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

from wedsync.testing.google_calendar.refusal import invalid

_MAX_FAULTS = 100
_MAX_DELAY_MS = 120_000
BEFORE, AFTER = "before", "after"


@dataclass(slots=True, kw_only=True)
class Fault:
    """What the next calls of a method (`events.list`) meet. Raises `Refused` if it makes no sense."""

    method: str = "*"
    times: int = 1
    status: int = 0
    """Answered instead of the real answer, with `reason` in Google's envelope."""
    reason: str = "backendError"
    retry_after: int | None = None
    body: str | None = None
    """Answered as it is, garbage too."""
    delay_ms: int = 0
    cut: str = ""
    """Break the connection `before` the call is carried out, or `after` it, without an answer."""
    apply: bool = False
    """Carry the call out before showing status or body."""

    def __post_init__(self) -> None:
        """Check that it makes sense."""
        numbers = (self.times, self.status, self.delay_ms)
        if self.cut not in {"", BEFORE, AFTER} or not all(type(n) is int and n >= 0 for n in numbers):
            raise invalid("the fault makes no sense")
        if self.delay_ms > _MAX_DELAY_MS or not (self.status == 0 or 200 <= self.status <= 599):
            raise invalid("the fault's delay or status is out of range")

    @property
    def answers(self) -> bool:
        """Whether it replaces the answer; a mere delay or cut does not."""
        return bool(self.status) or self.body is not None


@dataclass(slots=True)
class Traffic:
    """The calls by method, and the faults still due."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)

    def add(self, body: Any) -> None:
        """Take a fault from its JSON. Raises `Refused` if it makes no sense or there are too many."""
        known = {entry.name for entry in fields(Fault)}
        if not isinstance(body, dict) or not set(body) <= known or len(self.faults) >= _MAX_FAULTS:
            raise invalid("there is no such fault, or there are too many")
        self.faults.append(Fault(**body))

    def next_fault(self, method: str) -> Fault:
        """Count the call and return the first fault due for it, counting that down; none is an empty one."""
        self.counts[method] += 1
        fault = next((f for f in self.faults if f.times and f.method in {"*", method}), None)
        if fault is None:
            return Fault()
        fault.times -= 1
        self.faults = [f for f in self.faults if f.times]
        return fault

    def clear(self) -> None:
        """Forget the calls and the faults."""
        self.counts.clear()
        self.faults.clear()
