"""What reached the simulator, the faults it was told to show, and how much it takes at once. Pure."""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import dataclass, field, fields
from typing import Any

from wedsync.testing.outlook.refusal import Refused, invalid

_MAX_FAULTS = 100
_MAX_DELAY_MS = 120_000
BEFORE, AFTER = "before", "after"
# Those of calendars and events, and of subscriptions.
_ID = re.compile(r"(?<=/)(?:AAk[^/]+|[0-9a-f-]{36})")


@dataclass(slots=True, kw_only=True)
class Fault:
    """What the next matching requests meet. Raises `Refused` if it makes no sense."""

    method: str = "*"
    path: str = ""
    """The request's path contains this."""
    times: int = 1
    status: int = 0
    """Answered instead of the real answer, with `Retry-After` if that is set."""
    code: str = "ServiceNotAvailable"
    retry_after: int | None = None
    body: str | None = None
    """Answered as it is, garbage too."""
    delay_ms: int = 0
    cut: str = ""
    """Break the connection `before` the request is carried out, or `after` it, without an answer."""
    apply: bool = False
    """Carry the request out before showing status or body."""

    def __post_init__(self) -> None:
        """Check that it makes sense."""
        numbers = (self.times, self.status, self.delay_ms)
        if self.cut not in {"", BEFORE, AFTER} or not all(type(n) is int and n >= 0 for n in numbers):
            raise invalid("the fault makes no sense")
        if self.delay_ms > _MAX_DELAY_MS or not (self.status == 0 or 200 <= self.status <= 599):
            raise invalid("the fault makes no sense")

    @property
    def answers(self) -> bool:
        """Whether it replaces the answer; a mere delay or cut does not."""
        return bool(self.status) or self.body is not None

    def matches(self, method: str, path: str) -> bool:
        """Say whether the request is one to fail."""
        return self.times > 0 and self.method in {"*", method} and self.path in path


@dataclass(slots=True)
class Traffic:
    """The requests by method and path, the faults still due, and the vendor's limits."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    max_at_once: int = 4
    """Requests under way for one mailbox."""
    max_in_window: int = 10_000
    window_seconds: float = 600.0
    at_once: int = 0
    highest: int = 0
    """The most requests that were ever under way at once."""
    _recent: deque[float] = field(default_factory=deque)

    def add(self, body: Any) -> None:
        """Take a fault from its JSON. Raises `Refused` if it makes no sense or there are too many."""
        known = {entry.name for entry in fields(Fault)}
        if not isinstance(body, dict) or not set(body) <= known or len(self.faults) >= _MAX_FAULTS:
            raise invalid("the fault makes no sense")
        self.faults.append(Fault(**body))

    def next_fault(self, method: str, path: str) -> Fault:
        """Count the request and return the first fault due for it; none is an empty one."""
        self.counts[f"{method} {_ID.sub('{id}', path)}"] += 1
        fault = next((f for f in self.faults if f.matches(method, path)), None)
        if fault is None:
            return Fault()
        fault.times -= 1
        self.faults = [f for f in self.faults if f.times]
        return fault

    def enter(self, now: float) -> None:
        """Let one more request in. Raises `Refused` where there are too many, at once or lately."""
        while self._recent and self._recent[0] <= now - self.window_seconds:
            self._recent.popleft()
        if self.at_once >= self.max_at_once:
            message = "Application is over its MailboxConcurrency limit."
            raise Refused(429, "ApplicationThrottled", message, retry_after=1)
        if len(self._recent) >= self.max_in_window:
            wait = int(self._recent[0] + self.window_seconds - now) + 1
            raise Refused(429, "ApplicationThrottled", "Too many requests.", retry_after=wait)
        self._recent.append(now)
        self.at_once += 1
        self.highest = max(self.highest, self.at_once)

    def leave(self) -> None:
        """A request is done."""
        self.at_once -= 1

    def clear(self) -> None:
        """Forget the requests and the faults."""
        self.counts.clear()
        self.faults.clear()
