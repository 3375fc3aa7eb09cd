"""The request quota: so many requests in a window, then 429 until the window is over."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Quota:
    """Counts requests; without a limit none is refused."""

    limit: int | None = None
    window_seconds: float = 60.0
    _began: float = -math.inf
    _used: int = 0

    def wait(self, now: float) -> int:
        """Count one request and return the seconds it has to wait: 0 if it may pass."""
        if self.limit is None:
            return 0
        if now >= self._began + self.window_seconds:
            self._began, self._used = now, 0
        self._used += 1
        return 0 if self._used <= self.limit else max(1, math.ceil(self._began + self.window_seconds - now))
