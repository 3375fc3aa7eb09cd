"""W3C trace context as the one string that travels with a change: `00-<trace>-<span>-<flags>`."""

from __future__ import annotations

import contextlib
import functools
import random
import re
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Self

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_SAMPLED = 0x01
# Ids have to differ, not to be secret: asking the system for each would be a thirtieth of what an edit costs.
_dice = random.Random()  # noqa: S311

# The OpenTelemetry ratio sampler looks at the lower 64 bits of the trace id; so do we, and every
# process with the same ratio decides alike.
_RATIO_BITS = 64


@dataclass(frozen=True, slots=True)
class TraceParent:
    """One span's place in a trace."""

    trace_id: int
    span_id: int
    sampled: bool

    @staticmethod
    @functools.lru_cache(maxsize=1024)
    def parse(text: str | None) -> TraceParent | None:
        """Return what the string says; None if it is absent or makes no sense.

        A change's own is asked for by every stage it passes, hence the cache.
        """
        match = _FORM.fullmatch(text or "")
        if match is None or (match[4] and text and text.startswith("00")):
            return None
        trace_id, span_id = int(match[1], 16), int(match[2], 16)
        if not trace_id or not span_id:
            return None
        return TraceParent(trace_id, span_id, bool(int(match[3], 16) & _SAMPLED))

    @classmethod
    def root(cls, ratio: float) -> Self:
        """Return the start of a new trace; `ratio` of them are sampled."""
        trace_id = _random_id(128)
        lower = trace_id & ((1 << _RATIO_BITS) - 1)
        return cls(trace_id, _random_id(64), lower < ratio * (1 << _RATIO_BITS))

    def child(self) -> Self:
        """Return a new span of the same trace; the trace's sampling decision stands."""
        return type(self)(self.trace_id, _random_id(64), self.sampled)

    def __str__(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{int(self.sampled):02x}"


_current: ContextVar[str | None] = ContextVar("wedsync_traceparent", default=None)


def current_traceparent() -> str | None:
    """Return the traceparent of what is being done now; None where nobody gave one."""
    return _current.get()


@contextlib.contextmanager
def within(traceparent: str | None) -> Iterator[None]:
    """Make the traceparent the current one."""
    token = _current.set(traceparent)
    try:
        yield
    finally:
        _current.reset(token)


def _random_id(bits: int) -> int:
    # Zero is the one value the standard forbids.
    return _dice.getrandbits(bits) or 1
