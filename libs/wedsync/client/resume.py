"""Where a broken stream goes on, and how long to wait before it does. Pure but for the jitter."""

from __future__ import annotations

import random
from collections.abc import Callable

from wedsync.errors import WedSyncError

MAX_FAILURES = 12
"""Tries in a row that brought nothing before a watch gives up: about 50 s of a peer being away."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0


class Resume:
    """A watch's place in the log, and its failures since it last worked."""

    def __init__(self, after: int | None, *, jitter: Callable[[], float] = random.random) -> None:
        self.after = after
        self._jitter, self._failures, self._started = jitter, 0, False

    def is_new(self, sequence: int, *, logged: bool) -> bool:
        """Take a message in; say whether the reader has not had it yet."""
        first, self._started = not self._started, True
        if not logged:
            self.after = sequence if self.after is None else self.after
            return first
        if self.after is not None and sequence <= self.after:
            return False
        self.after, self._failures = sequence, 0
        return True

    def pause(self, error: WedSyncError, *, lived: float) -> float:
        """Return the seconds to wait before the next try. Raises the error where none is worth it.

        `lived` is how long the stream lasted: on a quiet wedding that is all there is to show that it worked.
        """
        self._failures = 1 if lived > LONGEST_PAUSE else self._failures + 1
        if not error.retryable or self._failures >= MAX_FAILURES:
            raise error
        # Half of the pause is chance, so that the readers of a restarted peer do not return as one.
        ceiling = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (self._failures - 1))
        return max(error.retry_after or 0.0, ceiling * (0.5 + self._jitter() / 2))
