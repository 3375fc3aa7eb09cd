"""What reached the simulator, and the faults it was told to show."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from wedsync.testing.tave.refusal import invalid
from wedsync.testing.tave.schema import Rule, Rules, boolean, integer, one_of, text, violations

# More than any test sends; a sandbox that runs for weeks keeps the newest.
_REMEMBERED_REQUESTS = 2_000
_MAX_FAULTS = 100
_MAX_DELAY_MS = 120_000

_FAULT_RULES: Rules = {
    "method": Rule(check=one_of("GET", "POST", "PUT", "DELETE", "*")),
    "path": Rule(check=text(200)),
    "times": Rule(check=integer(1, 100_000)),
    "status": Rule(check=integer(200, 599)),
    "delay_ms": Rule(check=integer(0, _MAX_DELAY_MS)),
    "body": Rule(check=text(100_000)),
    "retry_after": Rule(check=integer(0, 3_600)),
    "location": Rule(check=text(500)),
    "drop": Rule(check=boolean),
    "apply": Rule(check=boolean),
}


@dataclass(slots=True, kw_only=True)
class Fault:
    """What the next matching requests meet instead of, or after, being carried out."""

    method: str = "*"
    path: str = ""
    """The request's path begins with this, below the base."""
    times: int = 1
    status: int | None = None
    delay_ms: int = 0
    body: str | None = None
    """Answered as it is, JSON or garbage."""
    retry_after: int | None = None
    location: str | None = None
    drop: bool = False
    """Break the connection in the middle of the answer."""
    apply: bool = False
    """Carry the request out before showing the fault."""

    @property
    def answers(self) -> bool:
        """Whether it replaces the answer; a mere delay does not."""
        return self.drop or self.status is not None or self.body is not None

    def matches(self, method: str, path: str) -> bool:
        """Say whether the request is one to fail."""
        return self.times > 0 and self.method in {"*", method} and path.startswith(self.path)


@dataclass(slots=True)
class Traffic:
    """The request counts by method and path template, the newest requests, and the faults still due."""

    counts: Counter[str] = field(default_factory=Counter)
    recent: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_REQUESTS))
    faults: list[Fault] = field(default_factory=list)

    def add_fault(self, body: Any) -> None:
        """Take a fault from its JSON. Raises `Refused` if it makes no sense or there are too many."""
        if found := violations(_FAULT_RULES, body):
            raise invalid(found)
        if len(self.faults) >= _MAX_FAULTS:
            raise invalid({"": [f"at most {_MAX_FAULTS} faults at a time"]})
        self.faults.append(Fault(**{name: value for name, value in body.items() if value is not None}))

    def next_fault(self, method: str, path: str) -> Fault | None:
        """Return the first fault that is due for the request, counting it down."""
        fault = next((f for f in self.faults if f.matches(method, path)), None)
        if fault:
            fault.times -= 1
            self.faults = [f for f in self.faults if f.times > 0]
        return fault

    def record(self, method: str, path: str, status: int) -> None:
        """Count one request. The status is 0 where the connection was broken."""
        self.counts[f"{method} {_template(path)}"] += 1
        self.recent.append({"method": method, "path": path, "status": status})

    def summary(self) -> dict[str, Any]:
        """Return the counts of reads and writes, and the newest requests."""
        reads = sum(n for key, n in self.counts.items() if key.startswith("GET "))
        writes = self.counts.total() - reads
        return {"reads": reads, "writes": writes, "by": dict(self.counts), "recent": list(self.recent)}

    def clear(self) -> None:
        """Forget the requests and the faults."""
        self.counts.clear()
        self.recent.clear()
        self.faults.clear()


def _template(path: str) -> str:
    parts = path.strip("/").split("/")
    return "/" + "/".join("{id}" if len(part) == 26 else part for part in parts)
