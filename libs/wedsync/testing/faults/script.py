"""What requests meet on their way to a server, as data. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answers. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(slots=True, kw_only=True)
class Asked:
    """One request as it came, and what became of it."""

    method: str
    path: str
    """With its query."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    at: float = 0.0
    """When it came, by a clock that never goes back."""
    status: int = 0
    """What was answered; 0 for nothing, yet or ever."""
    said: int = 0
    """What the server itself answered; 0 if it never got it."""


def _everything(_: Asked) -> bool:
    return True


@dataclass(slots=True, kw_only=True)
class Fault:
    """What the next matching requests meet. What it does not speak of stays as it is."""

    on: Callable[[Asked], bool] = _everything
    skip: int = 0
    """So many matching requests pass before it begins."""
    times: int = 1
    seconds: float = 0.0
    """Wait so long first."""
    instead: Answer | None = None
    """Answered instead of what the server would say."""
    cut: bool = False
    """The connection is reset instead of an answer."""
    silent: bool = False
    """There is no answer, however long the caller waits."""
    carried_out: bool = False
    """The server gets the request all the same; only its answer is lost."""
    copies: int = 1
    """The server gets the request so many times."""
    kept_back: bool = False
    """The caller is answered `instead` at once, and the server gets the request when it is released."""
    request: Callable[[bytes], bytes] | None = None
    """Changes the body on its way to the server."""
    answer: Callable[[Asked, Answer], Answer] | None = None
    """Changes the answer on its way back."""

    @property
    def loses_the_answer(self) -> bool:
        """Whether the caller gets to see nothing of what the server says."""
        return self.instead is not None or self.cut or self.silent


@dataclass(slots=True)
class Script:
    """The faults still due, and what was asked so far."""

    faults: list[Fault] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    skew: timedelta = timedelta()
    """How far ahead the server's clock is, by the Date of its answers."""

    def add(self, *faults: Fault) -> None:
        """Let these happen too; of two that match a request the older one comes first."""
        self.faults += faults

    def next(self, asked: Asked) -> Fault:
        """Remember a request, and return the fault that is due for it; none is an empty one."""
        self.asked.append(asked)
        for fault in [due for due in self.faults if due.on(asked)]:
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.times -= 1
            if fault.times <= 0:
                self.faults.remove(fault)
            return fault
        return Fault()

    def clear(self) -> None:
        """Forget the faults and what was asked."""
        self.faults, self.asked, self.skew = [], [], timedelta()


def asks(method: str = "", path: str = "") -> Callable[[Asked], bool]:
    """Match requests by method and by a pattern found anywhere in path and query; empty is any."""
    pattern = re.compile(path)
    return lambda asked: method in {"", asked.method} and pattern.search(asked.path) is not None


def rewriting(changes: Mapping[str, str]) -> Callable[[bytes], bytes]:
    """Return what puts some words in the place of others, wherever they stand in a body, all at once."""
    words = {before.encode(): after.encode() for before, after in changes.items()}
    pattern = re.compile(b"|".join(map(re.escape, words)))
    return lambda body: pattern.sub(lambda found: words[found[0]], body)


def http_date(moment: datetime) -> str:
    """Return a time as HTTP's headers state it."""
    return format_datetime(moment.astimezone(UTC).replace(microsecond=0), usegmt=True)
